//! Consumer of BPF_MAP_TYPE_RINGBUF.
//!
//! The kernel maps the data pages twice, back to back: what is between consumer and producer is always contiguous.
//! Producers wake the consumer only when it has caught up with them, so the position is stored once per call, not per
//! record: storing it per record makes producers three times as slow.
use std::collections::VecDeque;
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::pages::{Pages, process, watch_forks};
use super::source::{
    End, Mixed, Next, Piece, Sorted, Source, Stream, Taken, Types, Walk, dense, mixed, one, sorted,
};
use super::{BUSY, DISCARD, HEADER, Memory, Side, slot};

impl Memory {
    fn word(self, which: *mut u64) -> &'static AtomicU64 {
        // SAFETY: both words are aligned (they start a page) and live as long as the ring that made this value.
        unsafe { AtomicU64::from_ptr(which) }
    }

    fn produced(self) -> u64 {
        self.word(self.producer).load(Ordering::Acquire)
    }

    fn consumed(self) -> u64 {
        self.word(self.consumer).load(Ordering::Acquire)
    }

    fn give_back(self, position: u64) {
        self.word(self.consumer).store(position, Ordering::Release);
    }

    /// Where the header at `position` lies.
    fn at(self, position: u64) -> *mut u8 {
        // SAFETY: the offset is below `size`.
        unsafe { self.data.add((position & (self.size - 1)) as usize) }
    }

    /// The header at `position`, after which the record's content may be read.
    fn header(self, position: u64) -> u32 {
        // SAFETY: positions are multiples of 8 below the producer's.
        unsafe { AtomicU32::from_ptr(self.at(position).cast()) }.load(Ordering::Acquire)
    }
}

struct Records {
    memory: Memory,
    discarded: u64,
}

impl Source for Records {
    #[inline]
    fn next(&mut self, position: u64, producer: u64) -> Next {
        if position >= producer {
            return Next::Stop(End::Empty);
        }
        let header = self.memory.header(position);
        if header & BUSY != 0 {
            return Next::Stop(End::Busy);
        }
        let len = header & !(BUSY | DISCARD);
        let slot = slot(len);
        if slot > self.memory.size || slot > producer - position {
            return Next::Stop(End::Broken);
        }
        if header & DISCARD != 0 {
            self.discarded += 1;
            return Next::Skip(slot);
        }
        // SAFETY: the record ends before the producer's position, and the memory is doubled.
        let head = unsafe { self.memory.at(position).add(HEADER as usize) };
        let len = len as usize;
        Next::Record(
            Piece {
                head,
                head_len: len,
                tail: head,
                len,
            },
            slot,
        )
    }
}

/// The fast path of [`dense`]: records of exactly `N` bytes, whose copies the compiler lays out.
fn exact<const N: usize>(memory: Memory, walk: &mut Walk, out: &mut [u8], most: usize) -> usize {
    let most = most.min(out.len() / N);
    let step = slot(N as u32);
    let mut at = out.as_mut_ptr();
    let mut count = 0;
    while count < most
        && walk.position < walk.producer
        && memory.header(walk.position) == N as u32
        && walk.producer - walk.position >= step
    {
        // SAFETY: `count < most` leaves room for `N` bytes; the record is complete and the memory doubled.
        unsafe {
            let from = memory.at(walk.position).add(HEADER as usize);
            std::ptr::copy_nonoverlapping(from, at, N);
            at = at.add(N);
        }
        walk.position += step;
        count += 1;
    }
    count
}

fn copy_exact(memory: Memory, walk: &mut Walk, out: &mut [u8], size: usize, most: usize) -> usize {
    match size {
        4 => exact::<4>(memory, walk, out, most),
        8 => exact::<8>(memory, walk, out, most),
        12 => exact::<12>(memory, walk, out, most),
        16 => exact::<16>(memory, walk, out, most),
        20 => exact::<20>(memory, walk, out, most),
        24 => exact::<24>(memory, walk, out, most),
        28 => exact::<28>(memory, walk, out, most),
        32 => exact::<32>(memory, walk, out, most),
        40 => exact::<40>(memory, walk, out, most),
        48 => exact::<48>(memory, walk, out, most),
        56 => exact::<56>(memory, walk, out, most),
        64 => exact::<64>(memory, walk, out, most),
        _ => 0,
    }
}

/// Records of one length where they lie.
#[derive(Debug, Clone, Copy)]
pub struct Run {
    /// The first record's first byte.
    pub first: *const u8,
    /// Records.
    pub count: usize,
    /// Bytes from one to the next.
    pub stride: usize,
    /// Bytes of each.
    pub length: usize,
}

#[derive(Debug)]
struct State {
    /// Up to where was read; the consumer position stays behind it while leases live.
    position: u64,
    /// First bytes of what is lent, oldest first, and whether it came back.
    lent: VecDeque<(u64, bool)>,
    /// Number of the first of `lent`.
    first: u64,
    discarded: u64,
    /// For the pace: where and when was looked last.
    paced: (u64, Instant),
    closed: bool,
}

/// A ring buffer's consumer; may be used from several threads, which then share the records.
#[derive(Debug)]
pub struct Ring {
    memory: Memory,
    state: Mutex<State>,
    process: u32,
    /// Kept mapped; none for memory of a test's own.
    _pages: Option<(Pages, Pages)>,
}

impl Ring {
    /// Maps the ring of `size` bytes (the map's `max_entries`); errno when the kernel refuses.
    pub fn open(fd: RawFd, size: u64) -> Result<Self, i32> {
        let (memory, pages) = Memory::map(fd, size, Side::Consumer)?;
        // SAFETY: mapped above for as long as the value lives.
        Ok(unsafe { Self::over(memory, Some(pages)) })
    }

    /// A consumer of memory that is there already.
    ///
    /// # Safety
    /// The memory lives as long as the value (`pages` is kept for that) and only grows records as the kernel does.
    #[must_use]
    pub unsafe fn over(memory: Memory, pages: Option<(Pages, Pages)>) -> Self {
        watch_forks();
        Self {
            memory,
            state: Mutex::new(State {
                position: memory.consumed(),
                lent: VecDeque::new(),
                first: 0,
                discarded: 0,
                paced: (memory.consumed(), Instant::now()),
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

    /// Gives back what nobody holds any more.
    fn settle(&self, state: &State) {
        let free = state.lent.front().map_or(state.position, |lent| lent.0);
        self.memory.give_back(free);
    }

    /// Another consumer of the same map (a map opened twice) may have read on: nothing is read twice.
    fn catch_up(&self, state: &mut State) {
        if state.lent.is_empty() {
            state.position = state.position.max(self.memory.consumed());
        }
    }

    fn walk<T>(&self, work: impl FnOnce(&mut Records, &mut Walk) -> T) -> Result<T, i32> {
        let mut state = self.state()?;
        self.catch_up(&mut state);
        let mut source = Records {
            memory: self.memory,
            discarded: 0,
        };
        let mut walk = Walk {
            position: state.position,
            producer: self.memory.produced(),
        };
        let answer = work(&mut source, &mut walk);
        if walk.position != state.position {
            state.position = walk.position;
            state.discarded += source.discarded;
            self.settle(&state);
        }
        Ok(answer)
    }

    /// Lends records of one length where they lie, at most `most`; they go back to the kernel with the lease, in order.
    pub fn lend(self: &Arc<Self>, most: usize) -> Result<Result<Lease, End>, i32> {
        let mut state = self.state()?;
        self.catch_up(&mut state);
        let mut source = Records {
            memory: self.memory,
            discarded: 0,
        };
        let producer = self.memory.produced();
        let mut position = state.position;
        let (piece, step) = loop {
            match source.next(position, producer) {
                Next::Record(piece, slot) => break (piece, slot),
                Next::Skip(slot) => position += slot,
                Next::Stop(end) => {
                    if position != state.position {
                        state.position = position;
                        state.discarded += source.discarded;
                        self.settle(&state);
                    }
                    return Ok(Err(end));
                }
            }
        };
        // A run must not reach beyond the doubled memory, and positions of one ring's length are all there can be.
        let start = position;
        let mut count = 0;
        while count < most
            && position < producer
            && self.memory.header(position) == piece.len as u32
            && producer - position >= step
        {
            position += step;
            count += 1;
        }
        state.position = position;
        state.discarded += source.discarded;
        state.lent.push_back((start, false));
        let number = state.first + state.lent.len() as u64 - 1;
        self.settle(&state);
        Ok(Ok(Lease {
            ring: Arc::clone(self),
            number,
            run: Run {
                first: piece.head,
                count,
                stride: step as usize,
                length: piece.len,
            },
        }))
    }

    fn take_back(&self, number: u64) {
        if process() != self.process {
            return; // A forked child's copy: the parent still holds its own.
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let place = usize::try_from(number.saturating_sub(state.first)).unwrap_or(usize::MAX);
        if let Some(lent) = state.lent.get_mut(place) {
            lent.1 = true;
        }
        while state.lent.front().is_some_and(|lent| lent.1) {
            state.lent.pop_front();
            state.first += 1;
        }
        self.settle(&state);
    }

    /// How long to let records gather before the next read: nothing while they are rare (each is worth a read of its own),
    /// at most `latency`, and no longer than it takes to fill a quarter of the ring.
    pub fn pause(&self, latency: Duration) -> Duration {
        /// Fewer bytes than that in `latency` are rare.
        const FEW: f64 = 4096.0;
        let Ok(mut state) = self.state() else {
            return Duration::ZERO;
        };
        let now = Instant::now();
        let here = (state.position, now);
        let (position, then) = std::mem::replace(&mut state.paced, here);
        let passed = now.duration_since(then).as_secs_f64();
        let rate = state.position.wrapping_sub(position) as f64 / passed.max(1e-9);
        let goal = (rate * latency.as_secs_f64()).min(self.memory.size as f64 / 4.0);
        let waiting = self.memory.produced().wrapping_sub(state.position) as f64;
        if goal < FEW.min(self.memory.size as f64 / 8.0) || waiting >= goal {
            return Duration::ZERO;
        }
        latency.min(Duration::from_secs_f64(
            ((goal - waiting) / rate).clamp(0.0, 1.0),
        ))
    }

    /// (consumer, producer, reader) positions in bytes since the ring was made; the reader is ahead of the consumer by
    /// what is lent.
    #[must_use]
    pub fn positions(&self) -> (u64, u64, u64) {
        let reader = self
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .position;
        (self.memory.consumed(), self.memory.produced(), reader)
    }

    /// Records their producers gave up, met so far.
    #[must_use]
    pub fn discarded(&self) -> u64 {
        self.state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .discarded
    }

    /// No more is read; what is lent stays valid and goes back when released.
    pub fn close(&self) {
        self.state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .closed = true;
    }
}

impl Stream for Ring {
    fn take_dense(&self, out: &mut [u8], size: usize, most: usize) -> Result<Taken, i32> {
        self.walk(|source, walk| {
            let mut count = 0;
            loop {
                let rest = out.get_mut(count * size..).unwrap_or_default();
                count += copy_exact(source.memory, walk, rest, size, most - count);
                // What is not exactly `size` long goes the general way, 16 records at a time where it is the exception.
                let rest = out.get_mut(count * size..).unwrap_or_default();
                let left = most - count;
                let general = matches!(
                    size,
                    4 | 8 | 12 | 16 | 20 | 24 | 28 | 32 | 40 | 48 | 56 | 64
                );
                let taken = dense(
                    source,
                    walk,
                    rest,
                    size,
                    if general { left.min(16) } else { left },
                );
                count += taken.count;
                let room = out.len().checked_div(size).unwrap_or(usize::MAX);
                if taken.end != End::Full || count >= most || count >= room {
                    return Taken {
                        count,
                        end: taken.end,
                    };
                }
            }
        })
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
        let (_, producer, reader) = self.positions();
        producer.wrapping_sub(reader)
    }

    fn size(&self) -> u64 {
        self.memory.size
    }
}

/// Records lent where they lie; they go back to the kernel when the value is dropped and all older ones were.
#[derive(Debug)]
pub struct Lease {
    ring: Arc<Ring>,
    number: u64,
    run: Run,
}

// SAFETY: the address in it is shared memory the ring keeps mapped and does not give back meanwhile.
unsafe impl Send for Lease {}
// SAFETY: it is only read.
unsafe impl Sync for Lease {}

impl Lease {
    /// The records.
    #[must_use]
    pub fn run(&self) -> Run {
        self.run
    }

    /// Bytes from the first record's first to the last one's last, headers between them included.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.run.count.saturating_sub(1) * self.run.stride + self.run.length * self.run.count.min(1)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.ring.take_back(self.number);
    }
}
