//! Memory mapped ranges, unmapped when dropped.
use std::os::fd::RawFd;
use std::ptr::NonNull;

use libc::{c_int, c_void, off_t};

/// One mmap(2)ed range. Others (the kernel, programs) write it meanwhile: it is never a plain slice.
#[derive(Debug)]
pub struct Mapping {
    start: NonNull<u8>,
    len: usize,
    writable: bool,
}

// SAFETY: the range stays mapped until dropped, whichever thread uses it; access is by raw pointers only.
unsafe impl Send for Mapping {}
// SAFETY: as above; nothing here reads or writes the range.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// mmap(2) with `PROT_*` and `MAP_*` as the kernel numbers them; `Err` is `-errno`. `address` is where it is wished
    /// (0: anywhere): the kernel takes another place where that one is in use, or refuses, as arenas do.
    ///
    /// # Errors
    /// What the kernel says; `-EINVAL` for MAP_FIXED, which could replace memory in use.
    pub fn new(
        fd: RawFd,
        len: usize,
        offset: i64,
        prot: i32,
        flags: i32,
        address: usize,
    ) -> Result<Self, i64> {
        let fixed = libc::MAP_FIXED | libc::MAP_FIXED_NOREPLACE;
        if flags & fixed != 0 {
            return Err(-i64::from(libc::EINVAL));
        }
        // SAFETY: without MAP_FIXED an address is only a wish: the kernel chooses a free range.
        let start = unsafe {
            libc::mmap(
                std::ptr::without_provenance_mut::<c_void>(address),
                len,
                prot as c_int,
                flags as c_int,
                fd,
                offset as off_t,
            )
        };
        if start == libc::MAP_FAILED {
            let number = std::io::Error::last_os_error().raw_os_error();
            return Err(-i64::from(number.unwrap_or(libc::EIO)));
        }
        let Some(start) = NonNull::new(start.cast::<u8>()) else {
            return Err(-i64::from(libc::ENOMEM));
        };
        Ok(Self {
            start,
            len,
            writable: prot & libc::PROT_WRITE != 0,
        })
    }

    /// The first byte; valid while the mapping lives.
    #[must_use]
    pub fn start(&self) -> NonNull<u8> {
        self.start
    }

    /// Bytes mapped.
    #[must_use]
    #[allow(clippy::len_without_is_empty, reason = "no mapping is empty")]
    pub fn len(&self) -> usize {
        self.len
    }

    #[must_use]
    pub fn writable(&self) -> bool {
        self.writable
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: exactly the range mapped by `new`, unmapped once.
        let _ = unsafe { libc::munmap(self.start.as_ptr().cast::<c_void>(), self.len) };
    }
}
