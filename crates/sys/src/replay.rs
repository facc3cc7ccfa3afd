//! Replays a plan: the executor knows where descriptors go and how a verifier's log is asked for, and nothing else.
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use crate::call;
use crate::pages::Pages;
use crate::plan::{MEMLOCK, OURS, PlanError, Step, validate};
use crate::together;

const PROG_LOAD: u32 = 5;
const BTF_LOAD: u32 = 18;
/// Commands that answer a descriptor, by number: one that no slot takes is closed again.
const OPENING: [u32; 13] = [0, 5, 7, 13, 14, 17, 18, 19, 28, 30, 32, 33, 36];
/// What a log starts with: untouched pages cost nothing, and each time it is too small the program is verified again.
const FIRST_LOG: usize = 16 << 20;
/// The verifier gives up with EAGAIN when a signal comes. After the first time, only these signals may come.
const HEARD: [i32; 4] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT];
const TRIES: usize = 10;

/// What became of a plan.
#[derive(Debug, Default)]
pub struct Outcome {
    /// By slot; empty when a step failed.
    pub fds: Vec<Option<OwnedFd>>,
    pub failure: Option<Failure>,
    /// (step, log) for every program and BTF whose log was asked for.
    pub logs: Vec<(usize, String)>,
}

/// The step that failed.
#[derive(Debug)]
pub struct Failure {
    pub step: usize,
    pub errno: i32,
    pub log: String,
}

/// Where a command keeps its log, by offset in the attr.
struct LogFields {
    level: usize,
    size: usize,
    buffer: usize,
    /// Linux 6.4 and later write there how large it should have been.
    true_size: usize,
}

fn log_fields(cmd: u32) -> Option<LogFields> {
    let (level, size, buffer, true_size) = match cmd {
        PROG_LOAD => (24, 28, 32, 140),
        BTF_LOAD => (24, 20, 8, 28),
        _ => return None,
    };
    Some(LogFields {
        level,
        size,
        buffer,
        true_size,
    })
}

fn write(bytes: &mut [u8], at: usize, value: &[u8]) {
    if let Some(place) = bytes.get_mut(at..at + value.len()) {
        place.copy_from_slice(value);
    }
}

/// While it lives, this thread gets no signals but those that ask the process to end: a timer that is faster than the
/// verifier would stop it at every try.
pub(crate) struct Undisturbed {
    before: libc::sigset_t,
}

impl Undisturbed {
    fn new() -> Self {
        Self::hearing(&HEARD)
    }

    /// Not even those.
    pub(crate) fn entirely() -> Self {
        Self::hearing(&[])
    }

    fn hearing(signals: &[i32]) -> Self {
        // SAFETY: `sigset_t` is plain numbers, and both sets live during the calls.
        unsafe {
            let mut mask: libc::sigset_t = std::mem::zeroed();
            let mut before: libc::sigset_t = std::mem::zeroed();
            libc::sigfillset(&raw mut mask);
            for signal in signals {
                libc::sigdelset(&raw mut mask, *signal);
            }
            libc::pthread_sigmask(libc::SIG_BLOCK, &raw const mask, &raw mut before);
            Self { before }
        }
    }
}

impl Drop for Undisturbed {
    fn drop(&mut self) {
        // SAFETY: the mask this thread had.
        unsafe {
            libc::pthread_sigmask(
                libc::SIG_SETMASK,
                &raw const self.before,
                std::ptr::null_mut(),
            );
        }
    }
}

fn once(cmd: u32, attr: &mut [u8]) -> i64 {
    let mut answer = 0;
    let mut quiet = None;
    for _ in 0..TRIES {
        // SAFETY: the addresses in it are of blobs and logs that live longer; `validate` held the places. What the command
        // makes of a blob's length is the planner's promise, as for every caller of bpf(2).
        answer = unsafe { call::bpf(cmd, attr) };
        if answer != -i64::from(libc::EAGAIN) && answer != -i64::from(libc::EINTR) {
            break;
        }
        quiet.get_or_insert_with(Undisturbed::new);
    }
    answer
}

/// The text up to the first NUL; the kernel cuts names anywhere, so it need not be UTF-8.
fn text(log: &[u8]) -> String {
    let end = memchr::memchr(0, log).unwrap_or(log.len());
    String::from_utf8_lossy(log.get(..end).unwrap_or_default()).into_owned()
}

/// Runs the command with a log that grows until it holds everything: (answer, log).
fn with_log(cmd: u32, attr: &mut Vec<u8>, level: u32, limit: usize) -> (i64, String) {
    let Some(at) = log_fields(cmd) else {
        return (once(cmd, attr), String::new());
    };
    // What an older kernel does not know is zero, and so no matter to it.
    if attr.len() < at.true_size + 4 {
        attr.resize(at.true_size + 4, 0);
    }
    // The kernel's own limits: at least 128 bytes, less than 1 GiB.
    let limit = limit.clamp(128, (1 << 30) - 1);
    let mut size = FIRST_LOG.min(limit);
    loop {
        let Some(log) = Pages::new(size) else {
            return (-i64::from(libc::ENOMEM), String::new());
        };
        write(attr, at.level, &level.to_ne_bytes());
        write(attr, at.size, &(size as u32).to_ne_bytes());
        write(attr, at.buffer, &log.address().to_ne_bytes());
        let answer = once(cmd, attr);
        let told = attr.get(at.true_size..at.true_size + 4);
        let told = told
            .and_then(|bytes| bytes.try_into().ok())
            .map_or(0, u32::from_ne_bytes);
        write(attr, at.true_size, &0_u32.to_ne_bytes());
        if answer == -i64::from(libc::ENOSPC) && size < limit {
            // Times and addresses in it may be longer the next time.
            let wanted = (told as usize).saturating_add(4096);
            let grown = if told == 0 {
                size.saturating_mul(4)
            } else {
                wanted.max(size + 1)
            };
            size = grown.min(limit);
            continue;
        }
        write(attr, at.level, &0_u32.to_ne_bytes());
        write(attr, at.size, &0_u32.to_ne_bytes());
        write(attr, at.buffer, &0_u64.to_ne_bytes());
        return (answer, text(log.bytes()));
    }
}

/// As the planner's commands say, with the verifier's log as `level` says.
fn command(cmd: u32, attr: &mut Vec<u8>, level: u32, limit: usize) -> (i64, Option<String>) {
    if log_fields(cmd).is_none() || (level == 0 && has_log(cmd, attr)) {
        return (once(cmd, attr), None);
    }
    // BTF has one level only, and its log is of interest when it is refused.
    if level == 0 || cmd == BTF_LOAD {
        let plain = once(cmd, attr);
        if plain >= 0 {
            return (plain, None);
        }
        let (again, log) = with_log(cmd, attr, level.max(1), limit);
        // A log that could not hold everything is no reason to be refused.
        let answer = if again == -i64::from(libc::ENOSPC) {
            plain
        } else {
            again
        };
        return (answer, Some(log));
    }
    let (answer, log) = with_log(cmd, attr, level, limit);
    if answer == -i64::from(libc::ENOSPC) {
        return (once(cmd, attr), Some(log));
    }
    (answer, Some(log))
}

/// Whether the planner put a log of its own there.
fn has_log(cmd: u32, attr: &[u8]) -> bool {
    log_fields(cmd)
        .and_then(|at| attr.get(at.level..at.level + 4))
        .is_some_and(|bytes| bytes != [0; 4])
}

/// As much locked memory as this process may have; what is refused shows when a map is.
fn lift_memlock() {
    let all = libc::rlimit {
        rlim_cur: libc::RLIM_INFINITY,
        rlim_max: libc::RLIM_INFINITY,
    };
    // SAFETY: the structures live during the calls.
    unsafe {
        if libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const all) != 0 {
            let mut own = all;
            if libc::getrlimit(libc::RLIMIT_MEMLOCK, &raw mut own) == 0 {
                own.rlim_cur = own.rlim_max;
                let _ = libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const own);
            }
        }
    }
}

/// Descriptors by slot: ours, or the caller's.
struct Slots {
    own: Vec<Option<OwnedFd>>,
    given: Vec<(u32, RawFd)>,
}

impl Slots {
    fn number(&self, slot: u32) -> RawFd {
        match self.own.get(slot as usize) {
            Some(Some(fd)) => fd.as_raw_fd(),
            _ => self
                .given
                .iter()
                .find(|(at, _)| *at == slot)
                .map_or(-1, |(_, fd)| *fd),
        }
    }

    fn fill(&self, bytes: &mut [u8], places: &[(u32, u32)]) {
        for (offset, slot) in places {
            write(bytes, *offset as usize, &self.number(*slot).to_ne_bytes());
        }
    }
}

/// What the kernel answered, and the log where there is one.
pub(crate) type Answer = (i64, Option<String>);

fn run<B: AsRef<[u8]>>(step: &Step<B>, fds: &Slots, log_level: u32, log_limit: usize) -> Answer {
    if step.cmd == MEMLOCK {
        lift_memlock();
        return (0, None);
    }
    if step.cmd >= OURS {
        return (-i64::from(libc::EINVAL), None);
    }
    let mut attr = step.attr.as_ref().to_vec();
    fds.fill(&mut attr, &step.slots);
    // Copied only where descriptors are written into them.
    let mut filled: Vec<Vec<u8>> = Vec::new();
    for blob in &step.blobs {
        let bytes = blob.bytes.as_ref();
        let address = if blob.slots.is_empty() {
            bytes.as_ptr()
        } else {
            let mut copy = bytes.to_vec();
            fds.fill(&mut copy, &blob.slots);
            let address = copy.as_ptr();
            filled.push(copy); // Moves the vector, not what it points to.
            address
        };
        write(&mut attr, blob.at as usize, &(address as u64).to_ne_bytes());
    }
    let answer = command(step.cmd, &mut attr, log_level, log_limit);
    drop(filled);
    answer
}

/// The descriptor a step answered, owned.
fn opened<B>(step: &Step<B>, answer: i64) -> Option<OwnedFd> {
    let number = RawFd::try_from(answer).ok().filter(|number| *number >= 0)?;
    if step.cmd >= OURS || (step.out.is_none() && !OPENING.contains(&step.cmd)) {
        return None;
    }
    // SAFETY: the kernel just made it for this command.
    Some(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Replays it. Descriptors made are closed when a step fails.
///
/// # Errors
/// A malformed plan; then no command was given.
///
/// # Safety
/// Each command's blobs must be as long as its attr says, and writable ones are none: the kernel must only read them.
pub unsafe fn replay<B: AsRef<[u8]> + Sync>(
    steps: &[Step<B>],
    slots: usize,
    given: &[(u32, RawFd)],
    log_level: u32,
    log_limit: usize,
) -> Result<Outcome, PlanError> {
    validate(steps, slots, given)?;
    let mut fds = Slots {
        own: std::iter::repeat_with(|| None).take(slots).collect(),
        given: given.to_vec(),
    };
    let mut logs = Vec::new();
    let mut failure = None;
    let mut first = 0;
    while let Some(rest) = steps.get(first..).filter(|rest| !rest.is_empty()) {
        let count = together::count(rest);
        let turn = rest.get(..count).unwrap_or(rest);
        let answers = match turn {
            [step] => vec![Some(run(step, &fds, log_level, log_limit))],
            _ => together::run(turn, |step| run(step, &fds, log_level, log_limit)),
        };
        for (at, (step, answer)) in turn.iter().zip(answers).enumerate() {
            let Some((answer, log)) = answer else {
                continue;
            };
            let fd = opened(step, answer); // Closed when nobody takes it.
            if failure.is_some() {
                continue;
            }
            if answer < 0 {
                failure = Some(Failure {
                    step: first + at,
                    errno: i32::try_from(-answer).unwrap_or(libc::EIO),
                    log: log.unwrap_or_default(),
                });
                continue;
            }
            if let Some(place) = step.out.and_then(|slot| fds.own.get_mut(slot as usize)) {
                *place = fd;
            }
            if log_level > 0
                && let Some(log) = log
            {
                logs.push((first + at, log));
            }
        }
        if failure.is_some() {
            return Ok(Outcome {
                fds: Vec::new(),
                failure,
                logs,
            });
        }
        first += count;
    }
    Ok(Outcome {
        fds: fds.own,
        failure: None,
        logs,
    })
}

/// What a plan did that was only tried.
#[derive(Debug, Default)]
pub struct Once {
    pub failure: Option<Failure>,
    /// (step, log) for every program and BTF whose log was asked for.
    pub logs: Vec<(usize, String)>,
    /// (step, `struct bpf_prog_info` as long as this kernel knows it) of every program a slot took.
    pub infos: Vec<(usize, Vec<u8>)>,
}

/// `struct bpf_prog_info` as of Linux 6.1; later kernels did not add to it.
const PROG_INFO: usize = 232;
const GET_INFO: u32 = 15;

fn prog_info(fd: RawFd) -> Option<Vec<u8>> {
    let mut info = vec![0_u8; PROG_INFO];
    let mut attr = [0_u8; 16];
    write(&mut attr, 0, &fd.to_ne_bytes());
    write(&mut attr, 4, &(PROG_INFO as u32).to_ne_bytes());
    write(&mut attr, 8, &(info.as_mut_ptr() as u64).to_ne_bytes());
    // SAFETY: the kernel writes at most `PROG_INFO` bytes; counts of arrays in it are 0, so no other address is used.
    if unsafe { call::bpf(GET_INFO, &mut attr) } < 0 {
        return None;
    }
    let told = attr.get(4..8).and_then(|bytes| bytes.try_into().ok());
    info.truncate(told.map_or(0, u32::from_ne_bytes) as usize);
    Some(info)
}

/// As `replay`; then everything is closed again.
///
/// # Errors
/// A malformed plan; then no command was given.
///
/// # Safety
/// As for `replay`.
pub unsafe fn replay_once<B: AsRef<[u8]> + Sync>(
    steps: &[Step<B>],
    slots: usize,
    given: &[(u32, RawFd)],
    log_level: u32,
    log_limit: usize,
) -> Result<Once, PlanError> {
    // SAFETY: the caller's promise.
    let outcome = unsafe { replay(steps, slots, given, log_level, log_limit) }?;
    let made = |step: &Step<B>| {
        let slot = step.out.filter(|_| step.cmd == PROG_LOAD)?;
        outcome.fds.get(slot as usize)?.as_ref()
    };
    let infos = steps
        .iter()
        .enumerate()
        .filter_map(|(at, step)| Some((at, prog_info(made(step)?.as_raw_fd())?)))
        .collect();
    Ok(Once {
        failure: outcome.failure,
        logs: outcome.logs,
        infos,
    })
}

/// Gives every command by itself, whatever became of those before it, and closes what it made: thousands of questions in
/// one message. `tell` gets the kernel's answer (0 for a descriptor) and the log of what was refused.
///
/// # Errors
/// A malformed plan; then no command was given.
///
/// # Safety
/// As for `replay`.
pub unsafe fn each<B: AsRef<[u8]> + Sync>(
    steps: &[Step<B>],
    slots: usize,
    given: &[(u32, RawFd)],
    log_level: u32,
    log_limit: usize,
    tell: &mut dyn FnMut(i64, &str),
) -> Result<(), PlanError> {
    validate(steps, slots, given)?;
    let fds = Slots {
        own: Vec::new(),
        given: given.to_vec(),
    };
    for step in steps {
        let (answer, log) = run(step, &fds, log_level, log_limit);
        match opened(step, answer) {
            Some(made) => {
                drop(made);
                tell(0, "");
            }
            None if answer >= 0 => tell(answer, ""),
            None => tell(answer, &log.unwrap_or_default()),
        }
    }
    Ok(())
}
