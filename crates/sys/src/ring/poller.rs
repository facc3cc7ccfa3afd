//! Waiting for several streams at once, in a way another thread can end.
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

/// The key [`Poller::wait`] answers after [`Poller::wake`].
pub const WOKEN: u32 = u32::MAX;

/// An epoll(7) instance with an eventfd(2) beside the streams.
#[derive(Debug)]
pub struct Poller {
    epoll: OwnedFd,
    event: OwnedFd,
}

fn errno() -> i32 {
    std::io::Error::last_os_error()
        .raw_os_error()
        .unwrap_or(libc::EIO)
}

fn owned(fd: RawFd) -> Result<OwnedFd, i32> {
    if fd < 0 {
        return Err(errno());
    }
    // SAFETY: a descriptor the kernel has just made for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// `None`: without end.
fn timespec(time: Option<Duration>) -> Option<libc::timespec> {
    time.map(|time| libc::timespec {
        tv_sec: libc::time_t::try_from(time.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_nsec: time.subsec_nanos().into(),
    })
}

impl Poller {
    /// Errno when the process has no descriptor left.
    pub fn new() -> Result<Self, i32> {
        // SAFETY: takes a number, answers a descriptor.
        let epoll = owned(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        // SAFETY: the same.
        let event = owned(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) })?;
        let poller = Self { epoll, event };
        poller.add(poller.event.as_raw_fd(), WOKEN, false)?;
        Ok(poller)
    }

    /// Waits for `fd` from now on: until it has something to read, or (`room`) to be written to.
    pub fn add(&self, fd: RawFd, key: u32, room: bool) -> Result<(), i32> {
        let events = if room { libc::EPOLLOUT } else { libc::EPOLLIN };
        let mut event = libc::epoll_event {
            events: events as u32,
            u64: u64::from(key),
        };
        // SAFETY: the kernel reads the event during the call.
        let done = unsafe {
            libc::epoll_ctl(
                self.epoll.as_raw_fd(),
                libc::EPOLL_CTL_ADD,
                fd,
                &raw mut event,
            )
        };
        if done < 0 { Err(errno()) } else { Ok(()) }
    }

    /// No longer waits for `fd`.
    pub fn remove(&self, fd: RawFd) -> Result<(), i32> {
        // SAFETY: the event is ignored for EPOLL_CTL_DEL.
        let done = unsafe {
            libc::epoll_ctl(
                self.epoll.as_raw_fd(),
                libc::EPOLL_CTL_DEL,
                fd,
                std::ptr::null_mut(),
            )
        };
        if done < 0 { Err(errno()) } else { Ok(()) }
    }

    /// Keys of what is ready; none after `time`; `EINTR` when a signal came.
    pub fn wait(&self, time: Option<Duration>) -> Result<Vec<u32>, i32> {
        const MOST: usize = 64;
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; MOST];
        // Rounded up: a millisecond early would make callers go round in circles.
        let timeout = time.map_or(-1, |time| {
            i32::try_from(time.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX)
        });
        // SAFETY: the array has room for `MOST` events.
        let count = unsafe {
            libc::epoll_wait(
                self.epoll.as_raw_fd(),
                events.as_mut_ptr(),
                MOST as i32,
                timeout,
            )
        };
        let Ok(count) = usize::try_from(count) else {
            return Err(errno());
        };
        Ok(events
            .iter()
            .take(count)
            .map(|event| event.u64 as u32)
            .collect())
    }

    /// Sleeps for `time`, whatever the streams have; true when woken by [`Self::wake`].
    pub fn sleep(&self, time: Duration) -> Result<bool, i32> {
        let mut fd = libc::pollfd {
            fd: self.event.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        let time = timespec(Some(time));
        let time = time.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
        // SAFETY: one descriptor, and a time that lives until the call ends.
        let count = unsafe { libc::ppoll(&raw mut fd, 1, time, std::ptr::null()) };
        if count < 0 {
            Err(errno())
        } else {
            Ok(count > 0)
        }
    }

    /// Ends every wait, now and from now on.
    pub fn wake(&self) {
        let one = 1_u64;
        // SAFETY: eight bytes, as an eventfd takes them. It cannot be full: nothing else is ever added.
        let _ = unsafe { libc::write(self.event.as_raw_fd(), (&raw const one).cast(), 8) };
    }

    /// Readable while a stream is.
    #[must_use]
    pub fn fd(&self) -> RawFd {
        self.epoll.as_raw_fd()
    }
}
