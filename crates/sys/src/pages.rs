//! Room for a verifier's log: much is offered, little is written. The allocator would keep freed room of that size and
//! clear it before each use; fresh pages cost nothing until the kernel writes to them.

use std::ptr::NonNull;

/// Zeroed memory of its own mapping.
#[derive(Debug)]
pub(crate) struct Pages {
    start: NonNull<u8>,
    len: usize,
}

impl Pages {
    /// `None` without memory.
    pub(crate) fn new(len: usize) -> Option<Self> {
        let (access, kind) = (
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
        );
        // SAFETY: a new mapping wherever the kernel finds room; nobody else has it.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), len, access, kind, -1, 0) };
        if start == libc::MAP_FAILED {
            return None;
        }
        // A first byte is not worth clearing 2 MiB for. Kernels without huge pages refuse, which is as good.
        // SAFETY: the range is the mapping just made.
        unsafe { libc::madvise(start, len, libc::MADV_NOHUGEPAGE) };
        let start = NonNull::new(start.cast())?;
        Some(Self { start, len })
    }

    /// Where the kernel writes to.
    pub(crate) fn address(&self) -> u64 {
        self.start.as_ptr() as u64
    }

    /// What was written.
    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: mapped and zeroed for as long as we live; the kernel wrote to it only during a call that returned.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: the mapping `new` made, which nothing refers to any more.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.len) };
    }
}
