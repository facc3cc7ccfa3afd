//! The keeper on the host: a small parent between bpfsmith and QEMU, so that no QEMU ever stays behind.
//!
//! `keep [--limit SECONDS] -- COMMAND...` runs the command with standard input from /dev/null and everything else inherited.
//! The command is killed when the keeper's standard input ends (only bpfsmith holds the other end), when the process that
//! started the keeper ends (a fork of it may hold the other end too), when the keeper itself dies (PDEATHSIG), and after
//! the limit. Exit status: that of the command, 128 + the signal that ended it, 124 past
//! the limit, 125 when the keeper was told to stop, 127 when the command cannot be started.
use std::ffi::{CString, OsString};
use std::os::unix::ffi::OsStringExt;
use std::time::{Duration, Instant};

/// Where the keeper holds the descriptor of its child; its parent's is the next.
const FIRST: libc::c_int = 3;

struct Told {
    limit: Option<Duration>,
    command: Vec<CString>,
}

fn parse(words: impl Iterator<Item = OsString>) -> Option<Told> {
    let mut limit = None;
    let mut words = words;
    while let Some(word) = words.next() {
        if word == "--limit" {
            let seconds: f64 = words.next()?.to_str()?.parse().ok()?;
            limit = Some(Duration::try_from_secs_f64(seconds).ok()?);
        } else if word == "--" {
            let command: Option<Vec<_>> = words
                .map(|word| CString::new(word.into_vec()).ok())
                .collect();
            return Some(Told {
                limit,
                command: command.filter(|command| !command.is_empty())?,
            });
        } else {
            return None;
        }
    }
    None
}

/// Runs the command; answers the exit status.
#[must_use]
pub fn run(words: impl Iterator<Item = OsString>) -> i32 {
    let Some(told) = parse(words) else {
        eprintln!("usage: bpfsmith-agent keep [--limit SECONDS] -- COMMAND...");
        return 2;
    };
    let mut arguments: Vec<_> = told.command.iter().map(|word| word.as_ptr()).collect();
    arguments.push(std::ptr::null());
    // SAFETY: plain system calls on numbers and C strings that live long enough; between fork and exec nothing allocates.
    unsafe {
        let keeper = libc::getpid();
        let parent = libc::syscall(libc::SYS_pidfd_open, libc::getppid(), 0) as libc::c_int;
        // Signals of a terminal are for those who started us; they end us by closing the pipe.
        libc::setpgid(0, 0);
        let child = libc::fork();
        if child == 0 {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            if libc::getppid() != keeper {
                libc::_exit(125);
            }
            let null = libc::open(c"/dev/null".as_ptr(), libc::O_RDONLY);
            libc::dup2(null, 0);
            if null > 0 {
                libc::close(null);
            }
            if let Some(program) = told.command.first() {
                libc::execvp(program.as_ptr(), arguments.as_ptr());
            }
            libc::_exit(127);
        }
        if child < 0 {
            return 126;
        }
        // Its channel and console must end with it, not with us: all goes but our input and two descriptors of processes.
        let own = [
            libc::syscall(libc::SYS_pidfd_open, child, 0) as libc::c_int,
            parent,
        ];
        let moved = own.map(|fd| libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, FIRST + 2));
        libc::dup2(0, 1);
        for (fd, number) in moved.into_iter().zip(FIRST..) {
            libc::close(number);
            libc::dup2(fd, number);
        }
        if libc::syscall(libc::SYS_close_range, FIRST + 2, u32::MAX, 0) < 0 {
            for fd in FIRST + 2..256 {
                libc::close(fd); // before Linux 5.9
            }
        }
        let why = watch(child, told.limit);
        if why != 0 {
            libc::kill(child, libc::SIGKILL);
        }
        let mut status = 0;
        while libc::waitpid(child, &raw mut status, 0) < 0
            && std::io::Error::last_os_error().raw_os_error() == Some(libc::EINTR)
        {}
        if why != 0 {
            why
        } else if libc::WIFSIGNALED(status) {
            128 + libc::WTERMSIG(status)
        } else {
            libc::WEXITSTATUS(status)
        }
    }
}

/// Until the child ended: 0; until the input or our parent ended: 125; until the limit: 124.
fn watch(child: libc::pid_t, limit: Option<Duration>) -> i32 {
    let begun = Instant::now();
    let mut byte = [0_u8; 64];
    let poll = |fd| libc::pollfd {
        fd,
        events: libc::POLLIN,
        revents: 0,
    };
    // SAFETY: plain numbers.
    let blind = unsafe { libc::fcntl(FIRST, libc::F_GETFD) } < 0;
    loop {
        let left = limit.map(|limit| limit.saturating_sub(begun.elapsed()));
        if left.is_some_and(|left| left.is_zero()) {
            return 124;
        }
        let most = if blind { 50 } else { i32::MAX };
        let timeout = left.map_or(if blind { most } else { -1 }, |left| {
            i32::try_from(left.as_millis() + 1)
                .unwrap_or(most)
                .min(most)
        });
        let mut fds = [poll(0), poll(FIRST), poll(FIRST + 1)];
        // SAFETY: the array lives during the call; so do the buffer and the status.
        unsafe {
            let ready = libc::poll(fds.as_mut_ptr(), 3, timeout);
            let mut told: libc::siginfo_t = std::mem::zeroed();
            if blind {
                // Without pidfds (before Linux 5.3) it is asked for, and left for `waitpid`.
                let how = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
                libc::waitid(libc::P_PID, child.unsigned_abs(), &raw mut told, how);
                if told.si_pid() == child {
                    return 0;
                }
            }
            if ready < 0 {
                continue;
            }
            let [input, ended, parent] = fds;
            if !blind && ended.revents != 0 {
                return 0;
            }
            if parent.revents & libc::POLLIN != 0 {
                return 125;
            }
            if input.revents != 0 && libc::read(0, byte.as_mut_ptr().cast(), byte.len()) <= 0 {
                return 125;
            }
        }
    }
}
