//! One CPU's buffer of a BPF_MAP_TYPE_PERF_EVENT_ARRAY.
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::pages::{Pages, page_size, process, watch_forks};
use super::source::{
    End, Mixed, Next, Piece, Sorted, Source, Stream, Taken, Types, Walk, dense, mixed, one, sorted,
};

/// `struct perf_event_mmap_page`: `data_head`; `data_tail` follows it.
const DATA_HEAD: usize = 1024;
const DATA_TAIL: usize = 1032;
/// `PERF_RECORD_LOST`: `{header, u64 id, u64 lost}`.
const LOST: u32 = 2;
/// `PERF_RECORD_SAMPLE` with PERF_SAMPLE_RAW: `{header, u32 size, bytes}`.
const SAMPLE: u32 = 9;
/// `struct perf_event_header`: u32 type, u16 misc, u16 size.
const HEADER: u64 = 8;

/// Where a perf buffer lies.
#[derive(Debug, Clone, Copy)]
pub struct PerfMemory {
    /// The metadata page.
    pub meta: *mut u8,
    /// The records.
    pub data: *mut u8,
    /// Bytes of `data`, a power of two.
    pub size: u64,
}

// SAFETY: shared memory whose two positions are read and written atomically only.
unsafe impl Send for PerfMemory {}
// SAFETY: the same.
unsafe impl Sync for PerfMemory {}

impl PerfMemory {
    fn word(self, offset: usize) -> &'static AtomicU64 {
        // SAFETY: both words are aligned in the metadata page, which lives as long as the buffer that made this value.
        unsafe { AtomicU64::from_ptr(self.meta.add(offset).cast()) }
    }

    fn head(self) -> u64 {
        self.word(DATA_HEAD).load(Ordering::Acquire)
    }

    fn tail(self) -> u64 {
        self.word(DATA_TAIL).load(Ordering::Acquire)
    }

    fn give_back(self, position: u64) {
        self.word(DATA_TAIL).store(position, Ordering::Release);
    }

    /// A word of a record; records are multiples of 8 long and aligned to it, so that no word wraps around.
    fn u64_at(self, position: u64) -> u64 {
        // SAFETY: the offset is a multiple of 8 below `size`, a power of two of at least a page.
        unsafe {
            self.data
                .add((position & (self.size - 1) & !7) as usize)
                .cast::<u64>()
                .read()
        }
    }

    fn piece(self, position: u64, len: usize) -> Piece {
        let offset = (position & (self.size - 1)) as usize;
        Piece {
            // SAFETY: the offset is below `size`.
            head: unsafe { self.data.add(offset) },
            head_len: len.min(self.size as usize - offset),
            tail: self.data,
            len,
        }
    }
}

struct Records {
    memory: PerfMemory,
    lost: u64,
}

impl Source for Records {
    fn next(&mut self, position: u64, producer: u64) -> Next {
        if position >= producer {
            return Next::Stop(End::Empty);
        }
        let left = producer - position;
        if left < HEADER || left > self.memory.size {
            return Next::Stop(End::Broken);
        }
        let [kind, rest] = halves(self.memory.u64_at(position));
        let size = u64::from(rest >> 16);
        if size < HEADER || size > left || !size.is_multiple_of(8) {
            return Next::Stop(End::Broken);
        }
        match kind {
            SAMPLE if size >= 16 => {
                let [len, _] = halves(self.memory.u64_at(position + HEADER));
                if u64::from(len) + 12 > size {
                    return Next::Stop(End::Broken);
                }
                Next::Record(self.memory.piece(position + 12, len as usize), size)
            }
            LOST if size >= 24 => {
                self.lost += self.memory.u64_at(position + 16);
                Next::Skip(size)
            }
            _ => Next::Skip(size),
        }
    }
}

/// The two u32 of 8 bytes, in memory's order. Of the header the second holds `misc` below `size`.
fn halves(word: u64) -> [u32; 2] {
    let [a, b, c, d, e, f, g, h] = word.to_ne_bytes();
    let second = if cfg!(target_endian = "big") {
        [g, h, e, f]
    } else {
        [e, f, g, h]
    };
    [u32::from_ne_bytes([a, b, c, d]), u32::from_ne_bytes(second)]
}

#[derive(Debug)]
struct State {
    lost: u64,
    closed: bool,
}

/// The buffer of one perf event.
#[derive(Debug)]
pub struct PerfRing {
    memory: PerfMemory,
    state: Mutex<State>,
    process: u32,
    _pages: Option<Pages>,
}

impl PerfRing {
    /// Maps `size` bytes of records (a power of two of pages) of the event; errno when the kernel refuses.
    pub fn open(fd: RawFd, size: u64) -> Result<Self, i32> {
        let page = page_size();
        let length = usize::try_from(size).map_err(|_| libc::EINVAL)?;
        if !length.is_power_of_two() || !length.is_multiple_of(page) {
            return Err(libc::EINVAL);
        }
        let pages = Pages::map(fd, length.checked_add(page).ok_or(libc::EINVAL)?, 0, true)?;
        let memory = PerfMemory {
            meta: pages.base(),
            // SAFETY: the records follow the metadata page.
            data: unsafe { pages.base().add(page) },
            size,
        };
        // SAFETY: mapped above for as long as the value lives.
        Ok(unsafe { Self::over(memory, Some(pages)) })
    }

    /// A consumer of memory that is there already.
    ///
    /// # Safety
    /// The memory lives as long as the value (`pages` is kept for that).
    #[must_use]
    pub unsafe fn over(memory: PerfMemory, pages: Option<Pages>) -> Self {
        watch_forks();
        Self {
            memory,
            state: Mutex::new(State {
                lost: 0,
                closed: false,
            }),
            process: process(),
            _pages: pages,
        }
    }

    fn state(&self) -> Result<MutexGuard<'_, State>, i32> {
        if process() != self.process {
            return Err(libc::ECHILD);
        }
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.closed {
            Err(libc::EBADF)
        } else {
            Ok(state)
        }
    }

    fn walk<T>(&self, work: impl FnOnce(&mut Records, &mut Walk) -> T) -> Result<T, i32> {
        let mut state = self.state()?;
        let mut source = Records {
            memory: self.memory,
            lost: 0,
        };
        let start = self.memory.tail();
        let mut walk = Walk {
            position: start,
            producer: self.memory.head(),
        };
        let answer = work(&mut source, &mut walk);
        state.lost += source.lost;
        if walk.position != start {
            self.memory.give_back(walk.position);
        }
        Ok(answer)
    }

    /// Records the kernel said it had no room for, as far as was read.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .lost
    }

    /// No more is read.
    pub fn close(&self) {
        self.state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .closed = true;
    }
}

impl Stream for PerfRing {
    fn take_dense(&self, out: &mut [u8], size: usize, most: usize) -> Result<Taken, i32> {
        self.walk(|source, walk| dense(source, walk, out, size, most))
    }

    fn take_mixed(&self, most: usize, most_bytes: usize) -> Result<Mixed, i32> {
        self.walk(|source, walk| mixed(source, walk, most, most_bytes))
    }

    fn take_sorted(&self, types: &Types, most: usize) -> Result<Sorted, i32> {
        self.walk(|source, walk| sorted(source, walk, types, most))
    }

    fn take_one(&self) -> Result<Result<Vec<u8>, End>, i32> {
        self.walk(one)
    }

    fn waiting(&self) -> u64 {
        self.memory.head().wrapping_sub(self.memory.tail())
    }

    fn size(&self) -> u64 {
        self.memory.size
    }
}
