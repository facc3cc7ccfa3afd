//! Children: started, fed, listened to, ended.
use std::collections::VecDeque;
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use crate::inbox::{Gone, Inbox};
use crate::kind::{self, HEADER, MOST_FRAME};
use crate::request::Exec;
use crate::wire;

const TERMINAL: u8 = 1;
const NO_INPUT: u8 = 2;

/// Bytes of input the host may have under way to a child, told by `HELLO`: more would fill the guest's memory.
pub const WINDOW: u32 = 1 << 20;
/// Room that is told at once; less may be owed for ever, so it is a part of the window.
const TOLD: u32 = WINDOW / 4;
/// The stream of `OUTPUT` that is no output.
const ROOM: u8 = 3;

/// A child and its ends of pipes.
#[derive(Debug)]
pub struct Job {
    pub id: u32,
    child: Child,
    pidfd: Option<OwnedFd>,
    input: Option<OwnedFd>,
    /// What is still to be written to it.
    waiting: VecDeque<u8>,
    /// Bytes it took, or nobody will, that the host was not told of.
    taken: u32,
    /// No more input comes.
    ended: bool,
    /// Standard output (or the terminal) and error.
    outputs: [Option<OwnedFd>; 2],
    terminal: bool,
    /// Its wait status, once it is over.
    status: Option<i32>,
    /// Frames read since then.
    afterwards: u32,
}

/// What a child wrote before it ended lies in its pipes, and those hold less. Others that have them may write for ever.
const MOST_AFTERWARDS: u32 = 16;

fn checked(value: libc::c_int) -> io::Result<libc::c_int> {
    if value < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(value)
    }
}

fn owned(number: libc::c_int) -> io::Result<OwnedFd> {
    let number = checked(number)?;
    // SAFETY: a call just answered it to us.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

fn nonblocking(fd: &OwnedFd) {
    // SAFETY: no memory is touched.
    unsafe {
        let flags = libc::fcntl(fd.as_raw_fd(), libc::F_GETFL);
        libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, flags | libc::O_NONBLOCK);
    }
}

fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut ends = [-1; 2];
    // SAFETY: room for two numbers.
    checked(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) })?;
    let [read, write] = ends;
    Ok((owned(read)?, owned(write)?))
}

/// (our end, the child's end) of a new terminal.
fn terminal() -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
    // SAFETY: C strings and numbers only.
    unsafe {
        let ours = owned(libc::open(c"/dev/ptmx".as_ptr(), flags))?;
        let unlock: libc::c_int = 0;
        checked(libc::ioctl(
            ours.as_raw_fd(),
            libc::TIOCSPTLCK,
            &raw const unlock,
        ))?;
        let theirs = owned(libc::ioctl(ours.as_raw_fd(), libc::TIOCGPTPEER as _, flags))?;
        Ok((ours, theirs))
    }
}

fn resize(fd: RawFd, rows: u16, columns: u16) {
    let size = libc::winsize {
        ws_row: rows,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    // SAFETY: the structure lives during the call.
    unsafe { libc::ioctl(fd, libc::TIOCSWINSZ, &raw const size) };
}

/// Starts it.
///
/// # Errors
/// Not found, no folder, no memory.
pub fn start(id: u32, told: &Exec<'_>) -> io::Result<Job> {
    let Some((program, arguments)) = told.arguments.split_first() else {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    };
    let mut command = Command::new(OsStr::from_bytes(program));
    command.args(arguments.iter().map(|word| OsStr::from_bytes(word)));
    command.env_clear();
    for variable in &told.variables {
        let mut halves = variable.splitn(2, |byte| *byte == b'=');
        if let (Some(name), Some(value)) = (halves.next(), halves.next()) {
            command.env(OsStr::from_bytes(name), OsStr::from_bytes(value));
        }
    }
    command.current_dir(OsStr::from_bytes(told.folder));
    let (input, outputs);
    if told.flags & TERMINAL != 0 {
        let (ours, theirs) = terminal()?;
        resize(ours.as_raw_fd(), told.rows, told.columns);
        command.stdin(theirs.try_clone()?);
        command.stdout(theirs.try_clone()?);
        command.stderr(theirs);
        // SAFETY: two calls that may be made between fork and exec.
        unsafe {
            command.pre_exec(|| {
                checked(libc::setsid())?;
                checked(libc::ioctl(0, libc::TIOCSCTTY, 0)).map(|_| ())
            });
        }
        input = Some(ours.try_clone()?);
        outputs = [Some(ours), None];
    } else {
        let (out, error) = (pipe()?, pipe()?);
        command.stdout(out.1);
        command.stderr(error.1);
        if told.flags & NO_INPUT != 0 {
            command.stdin(Stdio::null());
            input = None;
        } else {
            let pipe = pipe()?;
            command.stdin(pipe.0);
            input = Some(pipe.1);
        }
        command.process_group(0);
        outputs = [Some(out.0), Some(error.0)];
    }
    let child = command.spawn()?;
    drop(command); // The child's ends of the pipes.
    for fd in outputs.iter().flatten().chain(&input) {
        nonblocking(fd);
    }
    // SAFETY: no memory is touched.
    let pidfd = unsafe { libc::syscall(libc::SYS_pidfd_open, child.id(), 0) };
    Ok(Job {
        id,
        child,
        pidfd: owned(pidfd as libc::c_int).ok(),
        input,
        waiting: VecDeque::new(),
        taken: 0,
        ended: false,
        outputs,
        terminal: told.flags & TERMINAL != 0,
        status: None,
        afterwards: 0,
    })
}

impl Job {
    pub fn feed(&mut self, data: &[u8]) {
        if data.is_empty() {
            self.ended = true;
        } else if self.input.is_some() {
            self.waiting.extend(data);
        } else {
            self.took(data.len());
        }
        self.write();
    }

    pub fn signal(&self, number: i32) {
        if self.status.is_none() {
            // SAFETY: no memory is touched. The child was not waited for, so its number is still its own.
            unsafe { libc::kill(-(self.child.id() as libc::pid_t), number) };
        }
    }

    pub fn resize(&self, rows: u16, columns: u16) {
        if let (true, Some(fd)) = (self.terminal, &self.input) {
            resize(fd.as_raw_fd(), rows, columns);
        }
    }

    fn took(&mut self, count: usize) {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        self.taken = self.taken.saturating_add(count);
    }

    fn owes(&self) -> bool {
        self.taken >= TOLD
    }

    /// Tells the host how much more it may send.
    fn tell(&mut self, inbox: &mut Inbox) -> Result<(), Gone> {
        if !self.owes() {
            return Ok(());
        }
        let mut frame = wire::header(kind::OUTPUT, self.id, 5).to_vec();
        frame.push(ROOM);
        frame.extend_from_slice(&std::mem::take(&mut self.taken).to_le_bytes());
        inbox.write(&frame)
    }

    fn write(&mut self) {
        while let (Some(fd), false) = (&self.input, self.waiting.is_empty()) {
            let (bytes, _) = self.waiting.as_slices();
            // SAFETY: the slice is readable for its length.
            let wrote = unsafe { libc::write(fd.as_raw_fd(), bytes.as_ptr().cast(), bytes.len()) };
            match usize::try_from(wrote) {
                Ok(wrote) => {
                    drop(self.waiting.drain(..wrote));
                    self.took(wrote);
                }
                Err(_) => match io::Error::last_os_error().raw_os_error() {
                    Some(libc::EINTR) => {}
                    Some(libc::EAGAIN) => return,
                    _ => {
                        self.took(self.waiting.len());
                        self.waiting.clear(); // Nobody reads it any more.
                        self.input = None;
                    }
                },
            }
        }
        if self.ended && self.waiting.is_empty() {
            if self.terminal {
                // The end of input on a terminal is a character.
                self.waiting.extend([4]);
                self.ended = false;
                self.write();
            } else {
                self.input = None;
            }
        }
    }

    /// One frame of what it wrote, per stream; false: there was nothing.
    fn read(&mut self, inbox: &mut Inbox) -> Result<bool, Gone> {
        let mut any = false;
        for (slot, stream) in self.outputs.iter_mut().zip([1_u8, 2]) {
            let Some(fd) = slot else { continue };
            let mut frame = vec![0; MOST_FRAME];
            let room = frame.get_mut(HEADER + 1..).unwrap_or_default();
            // SAFETY: the slice is writable for its length.
            let got = unsafe { libc::read(fd.as_raw_fd(), room.as_mut_ptr().cast(), room.len()) };
            match usize::try_from(got) {
                Ok(0) => *slot = None,
                Ok(got) => {
                    frame.truncate(HEADER + 1 + got);
                    if let Some((head, body)) = frame.split_first_chunk_mut() {
                        *head = wire::header(kind::OUTPUT, self.id, body.len());
                        if let Some(first) = body.first_mut() {
                            *first = stream;
                        }
                    }
                    inbox.write(&frame)?;
                    any = true;
                }
                Err(_) => match io::Error::last_os_error().raw_os_error() {
                    Some(libc::EINTR | libc::EAGAIN) => {}
                    _ => *slot = None, // A terminal that nobody has open any more answers EIO.
                },
            }
        }
        Ok(any)
    }

    fn look(&mut self) {
        use std::os::unix::process::ExitStatusExt;
        if self.status.is_none()
            && let Ok(Some(status)) = self.child.try_wait()
        {
            self.status = Some(status.into_raw());
        }
    }
}

/// Waits until the channel or a child has something; true: the channel.
pub fn wait(channel: RawFd, jobs: &[Job]) -> bool {
    let poll = |fd: RawFd, events: i16| libc::pollfd {
        fd,
        events,
        revents: 0,
    };
    let mut fds = vec![poll(channel, libc::POLLIN)];
    let mut timeout = -1;
    for job in jobs {
        fds.extend(
            job.outputs
                .iter()
                .flatten()
                .map(|fd| poll(fd.as_raw_fd(), libc::POLLIN)),
        );
        match (&job.pidfd, job.status) {
            (_, Some(_)) => timeout = 0,
            (Some(fd), None) => fds.push(poll(fd.as_raw_fd(), libc::POLLIN)),
            (None, None) => timeout = 20,
        }
        if job.owes() {
            timeout = 0;
        }
        if let (Some(fd), false) = (&job.input, job.waiting.is_empty()) {
            fds.push(poll(fd.as_raw_fd(), libc::POLLOUT));
        }
    }
    // SAFETY: the vector lives during the call.
    unsafe { libc::poll(fds.as_mut_ptr(), fds.len() as libc::nfds_t, timeout) };
    fds.first().is_some_and(|fd| fd.revents & libc::POLLIN != 0)
}

/// Moves what there is to move; children that are over are answered.
///
/// # Errors
/// The channel is gone.
pub fn pump(inbox: &mut Inbox, jobs: &mut Vec<Job>) -> Result<(), Gone> {
    let mut at = 0;
    while let Some(job) = jobs.get_mut(at) {
        job.write();
        job.tell(inbox)?;
        job.look(); // Before its output: what it wrote before it ended is read below.
        let any = job.read(inbox)?;
        job.afterwards += u32::from(job.status.is_some());
        let over = !any || job.afterwards > MOST_AFTERWARDS;
        let Some(status) = job.status.filter(|_| over) else {
            at += 1;
            continue;
        };
        // Others that hold its pipes may go on writing; nobody listens.
        let mut frame = wire::header(kind::DONE, job.id, 4).to_vec();
        frame.extend_from_slice(&status.to_le_bytes());
        jobs.remove(at);
        inbox.write(&frame)?;
    }
    Ok(())
}
