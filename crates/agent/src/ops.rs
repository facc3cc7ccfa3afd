//! What the worker does for each request.
use std::ffi::CString;
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, IntoRawFd};
use std::os::unix::ffi::OsStrExt;

use bpfsmith_sys::batch;
use bpfsmith_sys::{call, procfs, replay};

use crate::exec::{self, Job};
use crate::files;
use crate::inbox::Gone;
use crate::kind::VERSION;
use crate::maps;
use crate::request::{Buffer, Replay, Request};
use crate::serve::{Hands, Out};
use crate::wire::Body;

/// The worker's hands: `facts` are what `HELLO` tells, as pairs.
#[derive(Debug)]
pub struct Worker {
    pub facts: Vec<(String, String)>,
    pub limit: usize,
    /// Whether the machine is its own: outside of a guest it neither sets the clock nor ends the machine, mounts or loads.
    pub guest: bool,
}

fn refused(out: Out<'_>, error: &io::Error) -> Result<(), Gone> {
    out.error(error.raw_os_error().unwrap_or(libc::EIO), "")
}

fn finish(out: Out<'_>, done: io::Result<()>) -> Result<(), Gone> {
    match done {
        Ok(()) => out.done(),
        Err(error) => refused(out, &error),
    }
}

fn value(mut out: Out<'_>, value: i64) -> Result<(), Gone> {
    out.put(&value.to_le_bytes());
    out.done()
}

fn text(bytes: &[u8]) -> io::Result<CString> {
    CString::new(bytes).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))
}

fn checked(value: libc::c_long) -> io::Result<()> {
    if value < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// So many zeros, or none when there is no memory for them.
fn zeros(length: usize) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(length).ok()?;
    bytes.resize(length, 0);
    Some(bytes)
}

fn put64(bytes: &mut [u8], at: usize, value: u64) {
    if let Some(place) = bytes.get_mut(at..at + 8) {
        place.copy_from_slice(&value.to_ne_bytes());
    }
}

fn get64(bytes: &[u8], at: usize) -> u64 {
    let place = bytes
        .get(at..at + 8)
        .and_then(|place| place.try_into().ok());
    place.map_or(0, u64::from_ne_bytes)
}

fn bpf(mut out: Out<'_>, command: u32, given: &[u8], buffers: &[Buffer<'_>]) -> Result<(), Gone> {
    let mut attr = given.to_vec();
    let mut memory = Vec::with_capacity(buffers.len());
    for buffer in buffers {
        let Some(mut bytes) = zeros(buffer.length) else {
            return out.error(libc::ENOMEM, "");
        };
        if let Some(place) = bytes.get_mut(..buffer.head.len()) {
            place.copy_from_slice(buffer.head);
        }
        let start = bytes.as_mut_ptr() as u64;
        for at in &buffer.pointers {
            let at = *at as usize;
            let position = get64(&bytes, at);
            put64(&mut bytes, at, start.wrapping_add(position));
        }
        put64(&mut attr, buffer.at, start);
        memory.push(bytes);
    }
    // SAFETY: every buffer lives until after the call; that they are as long as the command takes them to be is the
    // host's promise, as for every caller of bpf(2). Nothing but this guest can be harmed.
    let answer = unsafe { call::bpf(command, &mut attr) };
    let mut body = Body::new();
    for (buffer, bytes) in buffers.iter().zip(&mut memory) {
        // Addresses mean nothing to the host: they are told as they came.
        let came = given.get(buffer.at..buffer.at + 8);
        put64(&mut attr, buffer.at, came.map_or(0, |came| get64(came, 0)));
        let start = bytes.as_ptr() as u64;
        for at in &buffer.pointers {
            let at = *at as usize;
            let address = get64(bytes, at);
            if address != 0 {
                put64(bytes, at, address.wrapping_sub(start));
            }
        }
    }
    body.i64(answer).changes(given, &attr);
    out.put(&body.0);
    for (buffer, bytes) in buffers.iter().zip(&memory).filter(|(one, _)| one.writable) {
        let mut body = Body::new();
        // What it began with, then zeros: only the part that may differ is compared.
        let (head, tail) = bytes
            .split_at_checked(buffer.head.len())
            .unwrap_or_default();
        let zeros = tail.iter().rev().take_while(|byte| **byte == 0).count();
        if tail.len() > zeros {
            let first = head
                .iter()
                .zip(buffer.head)
                .take_while(|(a, b)| a == b)
                .count();
            let end = bytes.len() - zeros;
            body.u32(first as u32)
                .bytes(bytes.get(first..end).unwrap_or_default());
        } else {
            body.changes(buffer.head, head);
        }
        out.put(&body.0);
    }
    out.done()
}

fn outcome(
    body: &mut Body,
    failure: Option<&replay::Failure>,
    fds: &[i32],
    logs: &[(usize, String)],
) {
    match failure {
        Some(failure) => body
            .i32(failure.step as i32)
            .i32(failure.errno)
            .bytes(failure.log.as_bytes()),
        None => body.i32(-1).i32(0).u32(0),
    };
    body.u32(fds.len() as u32);
    for fd in fds {
        body.i32(*fd);
    }
    body.u32(logs.len() as u32);
    for (step, log) in logs {
        body.u32(*step as u32).bytes(log.as_bytes());
    }
}

fn run(mut out: Out<'_>, told: &Replay<'_>, most: usize) -> Result<(), Gone> {
    let (steps, slots) = &told.plan;
    // A log lies in memory up to three times before it is sent.
    let limit = usize::try_from(told.limit)
        .unwrap_or(usize::MAX)
        .min(most / 4);
    let mut body = Body::new();
    let wrong = if told.once {
        // SAFETY: lengths are the planner's promise, who speaks through the host; nothing but this guest can be harmed.
        match unsafe { replay::replay_once(steps, *slots, &told.given, told.level, limit) } {
            Ok(once) => {
                outcome(&mut body, once.failure.as_ref(), &[], &once.logs);
                body.u32(once.infos.len() as u32);
                for (step, info) in &once.infos {
                    body.u32(*step as u32).bytes(info);
                }
                None
            }
            Err(error) => Some(error),
        }
    } else {
        // SAFETY: as above.
        match unsafe { replay::replay(steps, *slots, &told.given, told.level, limit) } {
            Ok(done) => {
                let fds: Vec<i32> = done
                    .fds
                    .into_iter()
                    .map(|fd| fd.map_or(-1, IntoRawFd::into_raw_fd))
                    .collect();
                outcome(&mut body, done.failure.as_ref(), &fds, &done.logs);
                None
            }
            Err(error) => Some(error),
        }
    };
    if let Some(error) = wrong {
        return out.error(libc::EINVAL, &error.to_string());
    }
    out.put(&body.0);
    out.done()
}

/// Every step by itself; what it makes is closed again.
fn each(mut out: Out<'_>, told: &Replay<'_>, most: usize) -> Result<(), Gone> {
    let (steps, slots) = &told.plan;
    let limit = usize::try_from(told.limit)
        .unwrap_or(usize::MAX)
        .min(most / 4);
    let mut tell = |answer: i64, log: &str| {
        let mut body = Body::new();
        body.i64(answer).bytes(log.as_bytes());
        out.put(&body.0);
    };
    // SAFETY: as in `run`.
    match unsafe { replay::each(steps, *slots, &told.given, told.level, limit, &mut tell) } {
        Ok(()) => out.done(),
        Err(error) => out.error(libc::EINVAL, &error.to_string()),
    }
}

fn symbols(mut out: Out<'_>, module: Option<&[u8]>, names: &[&[u8]]) -> Result<(), Gone> {
    let module = module.map(String::from_utf8_lossy);
    match procfs::kernel_symbols(names, module.as_deref()) {
        Ok(found) => {
            for (name, places) in found.iter().filter(|(_, places)| !places.is_empty()) {
                let mut body = Body::new();
                body.bytes(name).u32(places.len() as u32);
                for (address, module) in places {
                    body.u64(*address).bytes(module.as_bytes());
                }
                out.put(&body.0);
            }
            out.done()
        }
        Err(error) => refused(out, &error),
    }
}

fn clock(seconds: i64, nanoseconds: u32, seed: &[u8]) -> io::Result<()> {
    let time = libc::timespec {
        tv_sec: seconds,
        tv_nsec: libc::c_long::from(nanoseconds),
    };
    // SAFETY: the structure lives during the call.
    checked(libc::c_long::from(unsafe {
        libc::clock_settime(libc::CLOCK_REALTIME, &raw const time)
    }))?;
    if seed.is_empty() {
        return Ok(());
    }
    // What is written is mixed in; the second request makes the generator take it up now and not minutes later.
    const RESEED: u64 = 0x5207;
    fs::write("/dev/urandom", seed)?;
    let random = fs::File::open("/dev/urandom")?;
    let _ = call::ioctl(random.as_raw_fd(), RESEED, 0); // Kernels that have no such request do it by themselves.
    Ok(())
}

fn mount(flags: u64, source: &[u8], kind: &[u8], data: &[u8], path: &[u8]) -> io::Result<()> {
    let (source, kind, data, path) = (text(source)?, text(kind)?, text(data)?, text(path)?);
    // SAFETY: C strings that live during the call.
    checked(libc::c_long::from(unsafe {
        libc::mount(
            source.as_ptr(),
            path.as_ptr(),
            kind.as_ptr(),
            flags as libc::c_ulong,
            data.as_ptr().cast(),
        )
    }))
}

/// Loads a module that lies in memory.
///
/// # Errors
/// As the kernel says.
pub fn module(parameters: &[u8], module: &[u8]) -> io::Result<()> {
    let parameters = text(parameters)?;
    // SAFETY: readable for its length, and a C string.
    checked(unsafe {
        libc::syscall(
            libc::SYS_init_module,
            module.as_ptr(),
            module.len(),
            parameters.as_ptr(),
        )
    })
}

fn open(flags: u32, mode: u32, path: &[u8]) -> i64 {
    let Ok(path) = text(path) else {
        return -i64::from(libc::EINVAL);
    };
    // SAFETY: a C string that lives during the call.
    let fd = unsafe { libc::open(path.as_ptr(), flags as i32 | libc::O_CLOEXEC, mode) };
    if fd < 0 { failed() } else { i64::from(fd) }
}

fn failed() -> i64 {
    -i64::from(
        io::Error::last_os_error()
            .raw_os_error()
            .unwrap_or(libc::EIO),
    )
}

fn read_fd(mut out: Out<'_>, fd: i32, most: usize) -> Result<(), Gone> {
    let Some(mut bytes) = zeros(most) else {
        return out.error(libc::ENOMEM, "");
    };
    // SAFETY: writable for its length.
    let got = unsafe { libc::read(fd, bytes.as_mut_ptr().cast(), bytes.len()) };
    match usize::try_from(got) {
        Ok(got) => {
            out.put(bytes.get(..got).unwrap_or_default());
            out.done()
        }
        Err(_) => refused(out, &io::Error::last_os_error()),
    }
}

/// Requests that change the machine as a whole.
fn of_machine(request: &Request<'_>) -> bool {
    matches!(
        request,
        Request::Clock { .. }
            | Request::Mount { .. }
            | Request::Umount { .. }
            | Request::Module { .. }
            | Request::PowerOff
    )
}

/// Sockets, as far as the host needs some: the kernel's answer.
fn socket(request: &Request<'_>) -> i64 {
    // SAFETY: buffers are readable for the lengths given.
    let answer = unsafe {
        match request {
            Request::Socket {
                family,
                kind,
                protocol,
            } => i64::from(libc::socket(*family as i32, *kind as i32, *protocol as i32)),
            Request::Bind { fd, address } => i64::from(libc::bind(
                *fd,
                address.as_ptr().cast(),
                address.len() as libc::socklen_t,
            )),
            Request::SetSockOpt {
                fd,
                level,
                option,
                value,
            } => i64::from(libc::setsockopt(
                *fd,
                *level,
                *option,
                value.as_ptr().cast(),
                value.len() as libc::socklen_t,
            )),
            Request::WriteFd { fd, data } => {
                libc::write(*fd, data.as_ptr().cast(), data.len()) as i64
            }
            _ => return -i64::from(libc::ENOSYS),
        }
    };
    if answer < 0 { failed() } else { answer }
}

impl Worker {
    fn hello(&self, mut out: Out<'_>) -> Result<(), Gone> {
        let mut body = Body::new();
        body.u32(VERSION);
        let mut pair = |name: &str, value: &str| {
            body.bytes(name.as_bytes()).bytes(value.as_bytes());
        };
        for (name, value) in &self.facts {
            pair(name, value);
        }
        pair("limit", &self.limit.to_string());
        pair("window", &exec::WINDOW.to_string());
        pair("generation", &out.generation().to_string());
        let file = |path: &str| fs::read_to_string(path).unwrap_or_default();
        pair(
            "uptime",
            file("/proc/uptime").split(' ').next().unwrap_or_default(),
        );
        out.put(&body.0);
        out.done()
    }

    /// Requests about files.
    fn file(&self, request: &Request<'_>, mut out: Out<'_>) -> Result<(), Gone> {
        let done = match request {
            Request::ReadFile(path) => files::read(path, &mut out),
            Request::WriteFile(told) => files::write(told),
            Request::List(path) => files::list(path, &mut out),
            Request::Stat { follow, path } => files::stat(path, *follow, &mut out),
            Request::ReadLink(path) => fs::read_link(files::path(path))
                .map(|target| out.put(target.as_os_str().as_bytes())),
            Request::MkDirs(path) => fs::create_dir_all(files::path(path)),
            Request::Unlink(path) => fs::remove_file(files::path(path)),
            Request::RmDir(path) => fs::remove_dir(files::path(path)),
            Request::SymLink { target, path } => {
                std::os::unix::fs::symlink(files::path(target), files::path(path))
            }
            Request::Mount {
                flags,
                source,
                kind,
                data,
                path,
            } => mount(*flags, source, kind, data, path),
            Request::Umount { flags, path } => text(path).and_then(|path| {
                // SAFETY: a C string that lives during the call.
                checked(libc::c_long::from(unsafe {
                    libc::umount2(path.as_ptr(), *flags as i32)
                }))
            }),
            Request::Module {
                parameters,
                module: data,
            } => module(parameters, data),
            Request::Clock {
                seconds,
                nanoseconds,
                seed,
            } => clock(*seconds, *nanoseconds, seed),
            Request::PossibleCpus => {
                procfs::possible_cpus().map(|count| out.put(&(count as u32).to_le_bytes()))
            }
            // SAFETY: no memory is touched.
            Request::Sync => {
                unsafe { libc::sync() };
                Ok(())
            }
            _ => Err(io::Error::from_raw_os_error(libc::ENOSYS)),
        };
        finish(out, done)
    }
}

impl Hands for Worker {
    fn work(
        &mut self,
        request: Request<'_>,
        out: Out<'_>,
        jobs: &mut Vec<Job>,
    ) -> Result<(), Gone> {
        if !self.guest && of_machine(&request) {
            return out.error(libc::EPERM, "");
        }
        match request {
            Request::Hello => self.hello(out),
            Request::Bpf {
                command,
                attr,
                buffers,
            } => bpf(out, command, attr, &buffers),
            Request::Replay(told) => run(out, &told, self.limit),
            Request::Each(told) => each(out, &told, self.limit),
            Request::Close(fds) => {
                for fd in fds.into_iter().filter(|fd| *fd > 2) {
                    call::close(fd);
                }
                Ok(())
            }
            Request::Dup(fd) => value(out, call::dup(fd)),
            Request::PerfEventOpen {
                pid,
                cpu,
                group,
                flags,
                attr,
                buffers,
            } => {
                let mut attr = attr.to_vec();
                let held: Vec<Vec<u8>> = buffers.iter().map(|one| one.head.to_vec()).collect();
                for (buffer, bytes) in buffers.iter().zip(&held) {
                    put64(&mut attr, buffer.at, bytes.as_ptr() as u64);
                }
                let answer = call::perf_event_open(&mut attr, pid, cpu, group, flags);
                drop(held);
                value(out, answer)
            }
            Request::Ioctl {
                fd,
                request,
                argument,
            } => value(out, call::ioctl(fd, request, argument)),
            Request::IoctlBuffer { fd, request, data } => {
                let (mut out, mut data) = (out, data.to_vec());
                // SAFETY: as long as the request takes it to be is the host's promise; only this guest can be harmed.
                let answer = unsafe { call::ioctl_ptr(fd, request, &mut data) };
                out.put(&answer.to_le_bytes());
                out.put(&data);
                out.done()
            }
            Request::MapRead {
                fd,
                flags,
                size,
                key,
            } => {
                let mut out = out;
                let Some(mut bytes) = zeros(size.min(self.limit)) else {
                    return out.error(libc::ENOMEM, "");
                };
                let errno = batch::read(fd, key, &mut bytes, flags);
                out.put(&(-i64::from(errno)).to_le_bytes());
                if errno == 0 {
                    out.put(&bytes);
                }
                out.done()
            }
            Request::MapWrite {
                fd,
                flags,
                key,
                value: data,
            } => value(out, -i64::from(batch::write(fd, key, data, flags))),
            Request::MapDump(told) => maps::dump(out, &told),
            Request::MapUpdate(told) => maps::change(out, &told, false),
            Request::MapDelete(told) => maps::change(out, &told, true),
            Request::Open { flags, mode, path } => value(out, open(flags, mode, path)),
            Request::ReadFd { fd, most } => read_fd(out, fd, most.min(self.limit)),
            Request::Symbols { module, names } => symbols(out, module, &names),
            // SAFETY: no memory is touched.
            Request::PidFdOpen { pid, flags } => value(out, unsafe {
                match libc::syscall(libc::SYS_pidfd_open, pid, flags) {
                    fd if fd >= 0 => fd,
                    _ => failed(),
                }
            }),
            Request::Exec(told) => match exec::start(out.id(), &told) {
                Ok(job) => {
                    jobs.push(job);
                    Ok(())
                }
                Err(error) => refused(out, &error),
            },
            Request::Input { job, data } => {
                if let Some(job) = jobs.iter_mut().find(|one| one.id == job) {
                    job.feed(data);
                }
                Ok(())
            }
            Request::Signal { job, signal } => {
                if let Some(job) = jobs.iter().find(|one| one.id == job) {
                    job.signal(signal);
                }
                Ok(())
            }
            Request::Resize { job, rows, columns } => {
                if let Some(job) = jobs.iter().find(|one| one.id == job) {
                    job.resize(rows, columns);
                }
                Ok(())
            }
            Request::Socket { .. }
            | Request::Bind { .. }
            | Request::SetSockOpt { .. }
            | Request::WriteFd { .. } => value(out, socket(&request)),
            Request::PowerOff => {
                out.done()?;
                // SAFETY: no memory is touched.
                unsafe {
                    libc::sync();
                    libc::reboot(libc::RB_POWER_OFF);
                }
                Ok(())
            }
            other => self.file(&other, out),
        }
    }
}
