//! Thin system calls: the kernel's value, or `-errno`.
use std::os::fd::RawFd;

use libc::{c_int, c_long, c_uint, c_ulong, c_void, pid_t};

/// The calling thread's error as the kernel would answer it.
fn failed() -> i64 {
    let number = std::io::Error::last_os_error().raw_os_error();
    -i64::from(number.unwrap_or(libc::EIO))
}

fn answer(value: c_long) -> i64 {
    if value < 0 { failed() } else { value }
}

/// bpf(2).
///
/// # Safety
/// `attr` must be writable for its length, and every address in it must be valid for what `cmd` does with it.
#[must_use]
pub unsafe fn bpf(cmd: u32, attr: &mut [u8]) -> i64 {
    let Ok(size) = c_uint::try_from(attr.len()) else {
        return -i64::from(libc::E2BIG);
    };
    // SAFETY: the slice is writable for `size` bytes; the caller answers for the addresses in it.
    answer(unsafe { libc::syscall(libc::SYS_bpf, c_long::from(cmd), attr.as_mut_ptr(), size) })
}

/// perf_event_open(2). The kernel reads the attribute's own size field: it must not say more than `attr` has.
#[must_use]
pub fn perf_event_open(attr: &mut [u8], pid: i32, cpu: i32, group: RawFd, flags: u64) -> i64 {
    // `size` is the second u32; 0 stands for the first published size, 64.
    let said = attr
        .get(4..8)
        .and_then(|bytes| <[u8; 4]>::try_from(bytes).ok())
        .map_or(u32::MAX, u32::from_ne_bytes);
    if said as usize > attr.len() || attr.len() < 64 {
        return -i64::from(libc::EINVAL);
    }
    // SAFETY: the kernel reads `size` bytes (writing only `size` back on E2BIG), all of them inside the slice.
    answer(unsafe {
        libc::syscall(
            libc::SYS_perf_event_open,
            attr.as_mut_ptr(),
            pid as pid_t,
            cpu as c_int,
            group as c_int,
            flags as c_ulong,
        )
    })
}

/// ioctl(2) with a number.
#[must_use]
pub fn ioctl(fd: RawFd, request: u64, arg: u64) -> i64 {
    // SAFETY: requests that take a number touch no memory of ours; one that takes an address is `ioctl_ptr`'s.
    answer(c_long::from(unsafe {
        libc::ioctl(fd, request as _, arg as c_ulong)
    }))
}

/// ioctl(2) with a buffer.
///
/// # Safety
/// `data` must be as long as `request` reads and writes.
#[must_use]
pub unsafe fn ioctl_ptr(fd: RawFd, request: u64, data: &mut [u8]) -> i64 {
    // SAFETY: the caller answers for the length.
    answer(c_long::from(unsafe {
        libc::ioctl(fd, request as _, data.as_mut_ptr().cast::<c_void>())
    }))
}

/// close(2); what it answers is of no use: the descriptor is gone either way.
pub fn close(fd: RawFd) {
    // SAFETY: the caller owns the descriptor.
    let _ = unsafe { libc::close(fd) };
}

/// Another descriptor of the same file, close-on-exec, not 0, 1 or 2.
#[must_use]
pub fn dup(fd: RawFd) -> i64 {
    // SAFETY: no memory is touched.
    answer(c_long::from(unsafe {
        libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 3)
    }))
}
