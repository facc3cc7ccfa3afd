//! Event streams between kernel and user space: ring buffers, perf buffers, user ring buffers, and waiting for them.
//!
//! Everything that depends on what the memory holds is written over [`Memory`] (three addresses and a size), so that the
//! tests run on memory of their own. A stream is read by one [`Source`] walk with several ways out: dense copies of equal
//! records, copies of mixed records with their offsets, records sorted by a selector, or a lease on the memory itself.

use std::os::fd::RawFd;

mod consumer;
mod pages;
mod perf;
mod poller;
mod source;
mod user;

#[cfg(test)]
mod tests;

pub use consumer::{Lease, Ring, Run};
pub use pages::Pages;
use pages::page_size;
pub use perf::PerfRing;
pub use poller::{Poller, WOKEN};
pub use source::{End, Mixed, Sorted, Stream, Taken, Types};
pub use user::{Slot, UserRing};

/// Set in a record's header while its producer still writes it.
pub const BUSY: u32 = 1 << 31;
/// Set in a record's header when its producer gave it up.
pub const DISCARD: u32 = 1 << 30;
/// Bytes before each record of a ring buffer.
pub const HEADER: u64 = 8;

/// Bytes a record of `len` takes in the ring: header, content, padding to 8.
pub(crate) const fn slot(len: u32) -> u64 {
    (len as u64 + HEADER + 7) & !7
}

/// Where a ring buffer lies. `data` holds `size` bytes (a power of two) twice, back to back, or, on memory that is not
/// doubled, at least what records reach to.
#[derive(Debug, Clone, Copy)]
pub struct Memory {
    /// Up to where the consumer has read, ever growing.
    pub consumer: *mut u64,
    /// Up to where producers have reserved, ever growing.
    pub producer: *mut u64,
    /// The records.
    pub data: *mut u8,
    /// Bytes of `data`, once.
    pub size: u64,
}

/// Who maps a ring: each side may write its own position only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Consumer,
    Producer,
}

impl Memory {
    /// Maps the ring of `size` bytes (the map's `max_entries`) for one side: valid as long as the pages live; errno when
    /// the kernel refuses.
    fn map(fd: RawFd, size: u64, side: Side) -> Result<(Self, (Pages, Pages)), i32> {
        let page = page_size();
        let length = usize::try_from(size).map_err(|_| libc::EINVAL)?;
        if !length.is_power_of_two() || !length.is_multiple_of(page) {
            return Err(libc::EINVAL);
        }
        let doubled = length
            .checked_mul(2)
            .and_then(|bytes| bytes.checked_add(page))
            .ok_or(libc::EINVAL)?;
        let consumer = Pages::map(fd, page, 0, side == Side::Consumer)?;
        let producer = Pages::map(fd, doubled, page as u64, side == Side::Producer)?;
        let memory = Self {
            consumer: consumer.base().cast(),
            producer: producer.base().cast(),
            // SAFETY: the data follow the producer's page.
            data: unsafe { producer.base().add(page) },
            size,
        };
        Ok((memory, (consumer, producer)))
    }
}

// SAFETY: the three addresses are shared memory whose words are read and written atomically only.
unsafe impl Send for Memory {}
// SAFETY: the same.
unsafe impl Sync for Memory {}
