//! Memory that worker and supervisor share: where in the stream of frames the worker is, so that a fresh one can go on.
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use crate::kind::{HEADER, MOST_FRAME};

const ROOM: usize = 64 << 10;
const ORDER: Ordering = Ordering::SeqCst;

/// What both see. One process uses it at a time: the supervisor only when no worker lives.
#[repr(C)]
#[derive(Debug)]
struct Shared {
    /// The request that is being done; 0: none.
    id: AtomicU32,
    generation: AtomicU32,
    /// Bytes of the current request's body that were not taken yet.
    left: AtomicUsize,
    /// Bytes of the frame that is being written.
    owed: AtomicUsize,
    /// What of `input` was read and not taken yet.
    start: AtomicUsize,
    end: AtomicUsize,
    input: [u8; ROOM],
}

/// The channel to the host, in one of its two users.
#[derive(Debug)]
pub struct Inbox {
    fd: RawFd,
    shared: *mut Shared,
}

/// The channel ended or broke.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gone(pub i32);

fn errno() -> i32 {
    std::io::Error::last_os_error()
        .raw_os_error()
        .unwrap_or(libc::EIO)
}

impl Inbox {
    /// # Errors
    /// No memory.
    pub fn new(fd: RawFd) -> Result<Self, i32> {
        // SAFETY: a new mapping; nothing of ours lies there.
        let address = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                size_of::<Shared>(),
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_ANONYMOUS | libc::MAP_POPULATE,
                -1,
                0,
            )
        };
        if address == libc::MAP_FAILED {
            return Err(errno());
        }
        // Zeroed memory is a valid `Shared`. Populated, so that no page is missing when the kernel copies into it: a worker
        // that is killed there would have taken bytes without saying so.
        Ok(Self {
            fd,
            shared: address.cast(),
        })
    }

    fn shared(&self) -> &Shared {
        // SAFETY: mapped until the process ends. `input` is only touched through `&mut self`.
        unsafe { &*self.shared }
    }

    #[must_use]
    pub fn fd(&self) -> RawFd {
        self.fd
    }

    #[must_use]
    pub fn id(&self) -> u32 {
        self.shared().id.load(ORDER)
    }

    #[must_use]
    pub fn generation(&self) -> u32 {
        self.shared().generation.load(ORDER)
    }

    pub fn next_generation(&self) {
        self.shared().generation.fetch_add(1, ORDER);
    }

    pub fn set_id(&self, id: u32) {
        self.shared().id.store(id, ORDER);
    }

    /// Whether a frame may be begun without waiting for the channel.
    #[must_use]
    pub fn has_more(&self) -> bool {
        self.shared().start.load(ORDER) < self.shared().end.load(ORDER)
    }

    fn wait(&self, events: i16) {
        let mut poll = libc::pollfd {
            fd: self.fd,
            events,
            revents: 0,
        };
        // SAFETY: one structure that lives during the call.
        let ready = unsafe { libc::poll(&raw mut poll, 1, -1) };
        // A port without a host behind it says so at once, and again and again.
        if ready > 0 && poll.revents & events == 0 {
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
    }

    /// Reads what there is into the empty buffer; waits for something.
    fn fill(&mut self) -> Result<(), Gone> {
        loop {
            // SAFETY: `input` has that much room, and nobody else uses it now.
            let got = unsafe {
                let room = (&raw mut (*self.shared).input).cast::<libc::c_void>();
                libc::read(self.fd, room, ROOM)
            };
            if let Some(got) = usize::try_from(got).ok().filter(|got| *got > 0) {
                self.shared().start.store(0, ORDER);
                self.shared().end.store(got.min(ROOM), ORDER);
                return Ok(());
            }
            if got == 0 {
                if !self.is_port() {
                    return Err(Gone(0));
                }
            } else {
                match errno() {
                    libc::EINTR | libc::EAGAIN => {}
                    other => return Err(Gone(other)),
                }
            }
            self.wait(libc::POLLIN);
        }
    }

    /// A port of which the host's end is closed for now reads as ended; a socket that ended is ended.
    fn is_port(&self) -> bool {
        // SAFETY: `stat` is plain numbers, and lives during the call.
        unsafe {
            let mut told: libc::stat = std::mem::zeroed();
            libc::fstat(self.fd, &raw mut told) == 0 && told.st_mode & libc::S_IFMT == libc::S_IFCHR
        }
    }

    /// Takes up to `most` bytes, at least one of them: `sink` gets them before they count as taken.
    fn take(&mut self, most: usize, mut sink: impl FnMut(&[u8])) -> Result<usize, Gone> {
        if !self.has_more() {
            self.fill()?;
        }
        let (start, end) = (
            self.shared().start.load(ORDER),
            self.shared().end.load(ORDER),
        );
        let count = most.min(end.saturating_sub(start));
        // SAFETY: nobody writes to `input` while it is lent out here.
        let input: &[u8; ROOM] = unsafe { &(*self.shared).input };
        sink(input.get(start..start + count).unwrap_or_default());
        self.shared().start.store(start + count, ORDER);
        Ok(count)
    }

    /// The next 12 bytes.
    ///
    /// # Errors
    /// The channel is gone.
    pub fn header(&mut self) -> Result<[u8; HEADER], Gone> {
        let mut header = [0; HEADER];
        let mut filled = 0;
        while filled < HEADER {
            filled += self.take(HEADER - filled, |bytes| {
                if let Some(place) = header.get_mut(filled..filled + bytes.len()) {
                    place.copy_from_slice(bytes);
                }
            })?;
        }
        Ok(header)
    }

    /// A request begins: so many bytes of it follow.
    pub fn begin(&self, id: u32, length: usize) {
        self.shared().id.store(id, ORDER);
        self.shared().left.store(length, ORDER);
    }

    /// The whole body of the request that began.
    ///
    /// # Errors
    /// The channel is gone.
    pub fn body(&mut self) -> Result<Vec<u8>, Gone> {
        let mut body = Vec::with_capacity(self.shared().left.load(ORDER));
        self.body_to(|bytes| body.extend_from_slice(bytes))?;
        Ok(body)
    }

    /// Takes the rest of the body without keeping it.
    ///
    /// # Errors
    /// The channel is gone.
    pub fn skip(&mut self) -> Result<(), Gone> {
        self.body_to(|_| {})
    }

    fn body_to(&mut self, mut sink: impl FnMut(&[u8])) -> Result<(), Gone> {
        loop {
            let left = self.shared().left.load(ORDER);
            if left == 0 {
                return Ok(());
            }
            let took = self.take(left, &mut sink)?;
            self.shared().left.store(left.saturating_sub(took), ORDER);
        }
    }

    /// Writes one frame.
    ///
    /// # Errors
    /// The channel is gone.
    pub fn write(&mut self, frame: &[u8]) -> Result<(), Gone> {
        debug_assert!(frame.len() <= MOST_FRAME);
        let mut rest = frame;
        self.shared().owed.store(rest.len(), ORDER);
        while !rest.is_empty() {
            // SAFETY: the slice is readable for its length.
            let wrote = unsafe { libc::write(self.fd, rest.as_ptr().cast(), rest.len()) };
            if let Ok(wrote) = usize::try_from(wrote) {
                rest = rest.get(wrote..).unwrap_or_default();
                self.shared().owed.store(rest.len(), ORDER);
                if wrote > 0 {
                    continue;
                }
            } else {
                match errno() {
                    libc::EINTR => continue,
                    libc::EAGAIN => {}
                    libc::ENOMEM => std::thread::sleep(std::time::Duration::from_millis(5)),
                    other => return Err(Gone(other)),
                }
            }
            self.wait(libc::POLLOUT);
        }
        Ok(())
    }

    /// Fills up the frame a dead worker left: those it had written in full are followed by zeros, which the host skips.
    ///
    /// # Errors
    /// The channel is gone.
    pub fn fill_up(&mut self) -> Result<(), Gone> {
        let owed = self.shared().owed.load(ORDER).min(MOST_FRAME);
        self.write(&vec![0; owed])
    }
}
