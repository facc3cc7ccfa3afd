//! Producer of BPF_MAP_TYPE_USER_RINGBUF: here user space writes and a BPF program drains.
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::pages::{Pages, process, watch_forks};
use super::{BUSY, DISCARD, HEADER, Memory, Side, slot};

/// A user ring buffer's producer; may be used from several threads.
#[derive(Debug)]
pub struct UserRing {
    memory: Memory,
    closed: Mutex<bool>,
    process: u32,
    _pages: Option<(Pages, Pages)>,
}

impl UserRing {
    /// Maps the ring of `size` bytes (the map's `max_entries`); errno when the kernel refuses.
    pub fn open(fd: RawFd, size: u64) -> Result<Self, i32> {
        // The kernel refuses a writable mapping of the consumer's page.
        let (memory, pages) = Memory::map(fd, size, Side::Producer)?;
        // SAFETY: mapped above for as long as the value lives.
        Ok(unsafe { Self::over(memory, Some(pages)) })
    }

    /// A producer of memory that is there already.
    ///
    /// # Safety
    /// The memory lives as long as the value (`pages` is kept for that).
    #[must_use]
    pub unsafe fn over(memory: Memory, pages: Option<(Pages, Pages)>) -> Self {
        watch_forks();
        Self {
            memory,
            closed: Mutex::new(false),
            process: process(),
            _pages: pages,
        }
    }

    fn consumed(&self) -> u64 {
        // SAFETY: aligned and mapped.
        unsafe { AtomicU64::from_ptr(self.memory.consumer) }.load(Ordering::Acquire)
    }

    fn produced(&self) -> &AtomicU64 {
        // SAFETY: aligned and mapped.
        unsafe { AtomicU64::from_ptr(self.memory.producer) }
    }

    fn header(&self, position: u64) -> &AtomicU32 {
        let offset = (position & (self.memory.size - 1)) as usize;
        // SAFETY: a multiple of 8 below `size`.
        unsafe { AtomicU32::from_ptr(self.memory.data.add(offset).cast()) }
    }

    /// Room for a record of `len` bytes. `Err`: `E2BIG` when the ring can never hold it, `ENOSPC` while it is full,
    /// `ECHILD` in a forked child, `EBADF` after closing.
    pub fn reserve(self: &Arc<Self>, len: u32) -> Result<Slot, i32> {
        let position = self.take(len)?;
        let offset = (position & (self.memory.size - 1)) as usize;
        Ok(Slot {
            // SAFETY: the record lies within the doubled memory.
            bytes: unsafe { self.memory.data.add(offset + HEADER as usize) },
            len: len as usize,
            position,
            ring: Arc::clone(self),
            done: false,
        })
    }

    fn take(&self, len: u32) -> Result<u64, i32> {
        if process() != self.process {
            return Err(libc::ECHILD);
        }
        let room = slot(len);
        if len >= DISCARD || room > self.memory.size {
            return Err(libc::E2BIG);
        }
        let closed = self.closed.lock().unwrap_or_else(PoisonError::into_inner);
        if *closed {
            return Err(libc::EBADF);
        }
        let position = self.produced().load(Ordering::Acquire);
        let used = position.wrapping_sub(self.consumed());
        if used > self.memory.size || self.memory.size - used < room {
            return Err(libc::ENOSPC);
        }
        let header = self.header(position);
        header.store(len | BUSY, Ordering::Relaxed);
        // SAFETY: the second half of the header, which the kernel keeps for itself and expects to be 0.
        unsafe {
            std::ptr::from_ref(header)
                .cast::<u32>()
                .cast_mut()
                .add(1)
                .write(0);
        };
        self.produced().store(position + room, Ordering::Release);
        Ok(position)
    }

    fn commit(&self, position: u64, len: usize, give_up: bool) {
        let header = len as u32 | if give_up { DISCARD } else { 0 };
        self.header(position).swap(header, Ordering::SeqCst);
    }

    /// Submits the records of `size` bytes that stand one after the other in `data`, as many as there is room for.
    pub fn send(&self, data: &[u8], size: usize) -> Result<usize, i32> {
        let len = u32::try_from(size).map_err(|_| libc::E2BIG)?;
        let mut sent = 0;
        for record in data.chunks_exact(size.max(1)) {
            let position = match self.take(len) {
                Ok(position) => position,
                Err(libc::ENOSPC) if sent > 0 => break,
                Err(errno) => return Err(errno),
            };
            let offset = (position & (self.memory.size - 1)) as usize;
            // SAFETY: just reserved for `size` bytes in the doubled memory.
            unsafe {
                let to = self.memory.data.add(offset + HEADER as usize);
                std::ptr::copy_nonoverlapping(record.as_ptr(), to, record.len());
            }
            self.commit(position, size, false);
            sent += 1;
        }
        Ok(sent)
    }

    /// Bytes the program has not drained yet, headers included.
    #[must_use]
    pub fn waiting(&self) -> u64 {
        self.produced()
            .load(Ordering::Acquire)
            .wrapping_sub(self.consumed())
    }

    /// Bytes of the ring.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.memory.size
    }

    /// No more is reserved; what is reserved may still be submitted.
    pub fn close(&self) {
        *self.closed.lock().unwrap_or_else(PoisonError::into_inner) = true;
    }
}

/// A reserved record. Dropped without being submitted it is discarded: the program would wait for it for ever.
#[derive(Debug)]
pub struct Slot {
    ring: Arc<UserRing>,
    position: u64,
    bytes: *mut u8,
    len: usize,
    done: bool,
}

// SAFETY: the memory is mapped as long as the ring, and belongs to this value until it is submitted.
unsafe impl Send for Slot {}
// SAFETY: nothing is written through a shared reference.
unsafe impl Sync for Slot {}

impl Slot {
    /// Its memory.
    #[must_use]
    pub fn bytes(&self) -> (*mut u8, usize) {
        (self.bytes, self.len)
    }

    /// Hands the record to the program.
    pub fn submit(&mut self) {
        self.end(false);
    }

    /// Gives the record up.
    pub fn discard(&mut self) {
        self.end(true);
    }

    /// Whether it was submitted or given up.
    #[must_use]
    pub fn done(&self) -> bool {
        self.done
    }

    fn end(&mut self, give_up: bool) {
        if !self.done {
            self.done = true;
            self.ring.commit(self.position, self.len, give_up);
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if process() == self.ring.process {
            self.end(true);
        }
    }
}
