//! PID 1 of a guest: makes the machine usable, then keeps a worker alive.
use std::ffi::CString;
use std::fs;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, IntoRawFd, RawFd};
use std::time::{Duration, Instant};

use crate::inbox::{Gone, Inbox};
use crate::kind::{self, MOST_FRAME};
use crate::ops::{self, Worker};
use crate::serve;
use crate::wire::{self, Body};

/// Folder, type, options.
const MOUNTS: [(&str, &str, &str); 13] = [
    ("/dev", "devtmpfs", ""),
    ("/proc", "proc", ""),
    ("/sys", "sysfs", ""),
    ("/dev/pts", "devpts", "ptmxmode=666"),
    ("/dev/shm", "tmpfs", ""),
    ("/sys/kernel/debug", "debugfs", ""),
    ("/sys/kernel/tracing", "tracefs", ""),
    ("/sys/kernel/security", "securityfs", ""),
    ("/sys/fs/bpf", "bpf", ""),
    ("/sys/fs/cgroup", "cgroup2", ""),
    ("/tmp", "tmpfs", ""),
    ("/run", "tmpfs", ""),
    ("/mnt", "tmpfs", ""),
];
/// What the virtio port is called.
const NAME: &str = "lab";
const ORDER: &str = "/mods/order";
/// How long a port may take to appear after its driver.
const PATIENCE: Duration = Duration::from_secs(20);

/// What `HELLO` tells, as it is found out.
type Facts = Vec<(String, String)>;

fn say(text: &str) {
    // Into the kernel's log, so that it stands in the console between what the kernel says.
    if let Ok(mut log) = fs::OpenOptions::new().write(true).open("/dev/kmsg") {
        let _ = writeln!(log, "bpfsmith: {text}");
    }
}

fn mount(folder: &str, kind: &str, options: &str) -> io::Result<()> {
    let _ = fs::create_dir_all(folder);
    let text = |word: &str| CString::new(word).unwrap_or_default();
    let (path, kind, data) = (text(folder), text(kind), text(options));
    // SAFETY: C strings that live during the call.
    let done = unsafe {
        libc::mount(
            kind.as_ptr(),
            path.as_ptr(),
            kind.as_ptr(),
            0,
            data.as_ptr().cast(),
        )
    };
    if done == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

fn mounts(facts: &mut Facts) {
    for (folder, kind, options) in MOUNTS {
        match mount(folder, kind, options) {
            Ok(()) => {}
            // Some kernels mount devtmpfs themselves.
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {}
            Err(error) => facts.push((format!("mount:{folder}"), error.to_string())),
        }
    }
    let _ = std::os::unix::fs::symlink("/proc/self/fd", "/dev/fd");
}

fn modules(facts: &mut Facts) {
    let Ok(order) = fs::read_to_string(ORDER) else {
        return;
    };
    for line in order.lines().filter(|line| !line.is_empty()) {
        let (name, parameters) = line.split_once(' ').unwrap_or((line, ""));
        let path = format!("/mods/{name}.ko");
        let done = fs::read(&path).and_then(|data| ops::module(parameters.as_bytes(), &data));
        match done {
            Ok(()) => {
                let _ = fs::remove_file(&path); // Its memory is of use elsewhere.
            }
            Err(error) if error.raw_os_error() == Some(libc::EEXIST) => {}
            Err(error) => facts.push((format!("module:{name}"), error.to_string())),
        }
    }
}

fn loopback() {
    // SAFETY: plain numbers; the structure lives during the calls.
    unsafe {
        let fd = libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0);
        let mut request: libc::ifreq = std::mem::zeroed();
        for (place, byte) in request.ifr_name.iter_mut().zip(b"lo") {
            *place = *byte as libc::c_char;
        }
        request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
        libc::ioctl(fd, libc::SIOCSIFFLAGS as _, &raw const request);
        libc::close(fd);
    }
}

fn limits() {
    for (what, most) in [
        (libc::RLIMIT_MEMLOCK, libc::RLIM_INFINITY),
        (libc::RLIMIT_NOFILE, 1 << 20),
        (libc::RLIMIT_CORE, 0),
    ] {
        let limit = libc::rlimit {
            rlim_cur: most,
            rlim_max: most,
        };
        // SAFETY: the structure lives during the call.
        unsafe { libc::setrlimit(what, &raw const limit) };
    }
}

/// The channel's device: the virtio port called `lab`, else the first port, else a serial line if told so.
fn port() -> Option<String> {
    let mut first = None;
    for entry in fs::read_dir("/sys/class/virtio-ports").ok()?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = format!("/dev/{name}");
        let called = fs::read_to_string(entry.path().join("name")).unwrap_or_default();
        if called.trim() == NAME {
            return Some(path);
        }
        first.get_or_insert(path);
    }
    first
}

fn serial(line: &str) -> Option<RawFd> {
    let file = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(line)
        .ok()?;
    let fd = file.into_raw_fd();
    // SAFETY: plain numbers; the structure lives during the calls.
    unsafe {
        let mut how: libc::termios = std::mem::zeroed();
        if libc::tcgetattr(fd, &raw mut how) == 0 {
            libc::cfmakeraw(&raw mut how);
            libc::tcsetattr(fd, libc::TCSANOW, &raw const how);
        }
    }
    Some(fd)
}

fn channel(facts: &mut Facts) -> Option<RawFd> {
    let words = fs::read_to_string("/proc/cmdline").unwrap_or_default();
    let told = words
        .split_whitespace()
        .find_map(|word| word.strip_prefix("bpfsmith.channel="));
    if let Some(line) = told {
        facts.push(("channel".to_owned(), line.to_owned()));
        return serial(line);
    }
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        if let Some(path) = port()
            && let Ok(file) = fs::OpenOptions::new().read(true).write(true).open(&path)
        {
            facts.push(("channel".to_owned(), path));
            return Some(file.into_raw_fd());
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    None
}

fn about(facts: &mut Facts) {
    let file = |path: &str| {
        fs::read_to_string(path)
            .unwrap_or_default()
            .trim()
            .to_owned()
    };
    let mut fact = |name: &str, value: String| facts.push((name.to_owned(), value));
    fact("release", file("/proc/sys/kernel/osrelease"));
    fact("version", file("/proc/sys/kernel/version"));
    fact("boot_id", file("/proc/sys/kernel/random/boot_id"));
    // SAFETY: plain numbers and arrays; the structure lives during the call.
    let machine = unsafe {
        let mut name: libc::utsname = std::mem::zeroed();
        libc::uname(&raw mut name);
        name.machine.map(|byte| byte as u8)
    };
    let machine: Vec<u8> = machine.into_iter().take_while(|byte| *byte != 0).collect();
    fact("machine", String::from_utf8_lossy(&machine).into_owned());
    // SAFETY: no memory is touched.
    let (page, cpus) = unsafe {
        (
            libc::sysconf(libc::_SC_PAGESIZE),
            libc::sysconf(libc::_SC_NPROCESSORS_ONLN),
        )
    };
    fact("page_size", page.to_string());
    fact("cpus", cpus.to_string());
    fact("memory", memory("MemTotal").to_string());
    fact("available", memory("MemAvailable").to_string());
}

/// Bytes of a line of /proc/meminfo.
fn memory(name: &str) -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let number = line.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    number.unwrap_or(0_u64).saturating_mul(1024)
}

fn counted_kills() -> u64 {
    let text = fs::read_to_string("/proc/vmstat").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
    line.and_then(|count| count.trim().parse().ok())
        .unwrap_or(0)
}

fn serve(inbox: &mut Inbox, facts: Facts, guest: bool) -> i32 {
    if guest {
        let _ = fs::write("/proc/self/oom_score_adj", "1000");
    }
    // A request lies in memory once or twice, and what it makes does too.
    let room = memory("MemAvailable") / 3;
    let limit = usize::try_from(room).unwrap_or(usize::MAX).max(1 << 20);
    let mut worker = Worker {
        facts,
        limit,
        guest,
    };
    let Gone(errno) = serve::serve(inbox, limit, &mut worker);
    say(&format!("the channel is gone: errno {errno}"));
    errno
}

/// Waits for the worker; every other child that ends is one whose parent is gone.
fn over(worker: libc::pid_t) -> i32 {
    loop {
        let mut status = 0;
        // SAFETY: room for one number.
        let pid = unsafe { libc::waitpid(-1, &raw mut status, 0) };
        if pid == worker {
            return status;
        }
        if pid < 0 && io::Error::last_os_error().raw_os_error() == Some(libc::ECHILD) {
            return 0;
        }
    }
}

fn report(inbox: &mut Inbox, status: i32, out_of_memory: bool) -> Result<(), Gone> {
    inbox.fill_up()?;
    inbox.next_generation();
    let (how, code) = if libc::WIFSIGNALED(status) {
        let how = if out_of_memory { 2 } else { 1 };
        (how, libc::WTERMSIG(status))
    } else {
        (3, libc::WEXITSTATUS(status))
    };
    let mut body = Body::new();
    body.u8(how).i32(code).u32(inbox.generation());
    body.raw(match how {
        1 => b"the guest's worker crashed".as_slice(),
        2 => b"the guest ran out of memory",
        _ => b"the guest's worker ended",
    });
    let mut frame = wire::header(kind::ENDED, inbox.id(), body.0.len()).to_vec();
    frame.extend_from_slice(&body.0);
    frame.truncate(MOST_FRAME);
    inbox.write(&frame)
}

/// Never ends while the machine runs.
pub fn run() -> ! {
    let mut facts = Facts::new();
    mounts(&mut facts);
    limits();
    modules(&mut facts);
    loopback();
    about(&mut facts);
    for (name, value) in facts.iter().filter(|(name, _)| name.contains(':')) {
        say(&format!("{name}: {value}"));
    }
    let opened = channel(&mut facts);
    let inbox = opened.ok_or(libc::ENODEV).and_then(Inbox::new);
    let mut inbox = match inbox {
        Ok(inbox) => inbox,
        Err(errno) => {
            say(&format!(
                "no channel to the host (errno {errno}): no virtio port was found"
            ));
            power_off()
        }
    };
    loop {
        let kills = counted_kills();
        // SAFETY: this process has one thread.
        let worker = unsafe { libc::fork() };
        if worker == 0 {
            let errno = serve(&mut inbox, facts, true);
            std::process::exit(if errno == 0 { 0 } else { 70 });
        }
        if worker < 0 {
            std::thread::sleep(Duration::from_millis(50));
            continue;
        }
        let status = over(worker);
        let memory = libc::WIFSIGNALED(status)
            && libc::WTERMSIG(status) == libc::SIGKILL
            && counted_kills() > kills;
        say(&format!(
            "the worker ended: status {status:#x}, out of memory: {memory}"
        ));
        if report(&mut inbox, status, memory).is_err() {
            power_off();
        }
    }
}

fn power_off() -> ! {
    loop {
        // SAFETY: no memory is touched.
        unsafe {
            libc::sync();
            libc::reboot(libc::RB_POWER_OFF);
        }
        std::thread::sleep(Duration::from_secs(1));
    }
}

#[must_use]
pub fn is_first() -> bool {
    std::process::id() == 1
}

/// The worker without PID 1, over an inherited socket: for tests of the host's side without a guest.
pub fn alone(fd: RawFd) -> i32 {
    let mut facts = Facts::new();
    about(&mut facts);
    match Inbox::new(fd.as_raw_fd()) {
        Ok(mut inbox) => serve(&mut inbox, facts, false),
        Err(errno) => errno,
    }
}
