//! Shared pages of a map or a perf event.
use std::os::fd::RawFd;
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};

/// An mmap(2)ed range, unmapped with the value.
#[derive(Debug)]
pub struct Pages {
    base: *mut u8,
    len: usize,
}

// SAFETY: the range belongs to this value alone until it is dropped.
unsafe impl Send for Pages {}
// SAFETY: it hands out addresses only; what is done with them is their users' to answer for.
unsafe impl Sync for Pages {}

impl Pages {
    /// Maps `len` bytes shared; errno when the kernel refuses.
    pub fn map(fd: RawFd, len: usize, offset: u64, writable: bool) -> Result<Self, i32> {
        let prot = libc::PROT_READ | if writable { libc::PROT_WRITE } else { 0 };
        let Ok(offset) = libc::off_t::try_from(offset) else {
            return Err(libc::EINVAL);
        };
        // SAFETY: a new mapping at an address of the kernel's choice touches no memory of ours.
        let base = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                len,
                prot,
                libc::MAP_SHARED,
                fd,
                offset,
            )
        };
        if base == libc::MAP_FAILED {
            return Err(std::io::Error::last_os_error()
                .raw_os_error()
                .unwrap_or(libc::EIO));
        }
        Ok(Self {
            base: base.cast(),
            len,
        })
    }

    /// First byte.
    #[must_use]
    pub fn base(&self) -> *mut u8 {
        self.base
    }

    /// Bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.len
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: the range was mapped by `map` and nothing else unmaps it.
        let _ = unsafe { libc::munmap(self.base.cast(), self.len) };
    }
}

/// Bytes of a page.
pub(crate) fn page_size() -> usize {
    // SAFETY: asks for a number.
    usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096)
}

/// Forks this process is away from the one that was started: asking for its id takes a system call each time.
static FORKS: AtomicU32 = AtomicU32::new(0);
static WATCHED: Once = Once::new();

extern "C" fn forked() {
    FORKS.fetch_add(1, Ordering::Relaxed);
}

/// This process: a forked child shares the positions of its parent's rings and must not move them.
pub(crate) fn process() -> u32 {
    FORKS.load(Ordering::Relaxed)
}

/// From now on [`process`] tells a forked child from its parent.
pub(crate) fn watch_forks() {
    WATCHED.call_once(|| {
        // SAFETY: the handler only adds to an atomic. Without memory for it (the one failure) children are not told apart.
        let _ = unsafe { libc::pthread_atfork(None, None, Some(forked)) };
    });
}
