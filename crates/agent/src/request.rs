//! Requests as the host means them: bodies become values here, and nothing is done yet.
use bpfsmith_sys::plan::{self, Decoded};

use crate::kind;
use crate::wire::{Malformed, Reader};

/// A buffer that a command points to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Buffer<'a> {
    /// Byte offset in the attr of its address.
    pub at: usize,
    /// Whether the kernel may write to it.
    pub writable: bool,
    pub length: usize,
    /// What it begins with.
    pub head: &'a [u8],
    /// Offsets of positions in it that become addresses.
    pub pointers: Vec<u32>,
}

/// A file of `WRITE_FILE`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Write<'a> {
    pub flags: u8,
    pub mode: u32,
    pub path: &'a [u8],
    pub data: &'a [u8],
}

/// What `EXEC` starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exec<'a> {
    pub flags: u8,
    pub rows: u16,
    pub columns: u16,
    pub folder: &'a [u8],
    pub arguments: Vec<&'a [u8]>,
    pub variables: Vec<&'a [u8]>,
}

/// Where keys and values lie; see `bpfsmith_sys::batch`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dump {
    pub fd: i32,
    /// 0: one by one.
    pub command: u32,
    pub flags: u64,
    pub key: usize,
    pub value: usize,
    pub row: usize,
    pub value_at: usize,
    pub chunk: usize,
    pub most: usize,
    pub unique: bool,
}

/// Keys, and values but for deletions, one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change<'a> {
    pub fd: i32,
    pub flags: u64,
    pub batch: bool,
    pub count: usize,
    pub key: usize,
    pub value: usize,
    pub keys: &'a [u8],
    pub values: &'a [u8],
}

/// A plan to replay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replay<'a> {
    pub once: bool,
    pub level: u32,
    pub limit: u64,
    pub given: Vec<(u32, i32)>,
    pub plan: Decoded<'a>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the table in `lib.rs` says it")]
pub enum Request<'a> {
    Hello,
    Clock {
        seconds: i64,
        nanoseconds: u32,
        seed: &'a [u8],
    },
    Bpf {
        command: u32,
        attr: &'a [u8],
        buffers: Vec<Buffer<'a>>,
    },
    Replay(Replay<'a>),
    Each(Replay<'a>),
    Close(Vec<i32>),
    Dup(i32),
    PerfEventOpen {
        pid: i32,
        cpu: i32,
        group: i32,
        flags: u64,
        attr: &'a [u8],
        buffers: Vec<Buffer<'a>>,
    },
    Ioctl {
        fd: i32,
        request: u64,
        argument: u64,
    },
    IoctlBuffer {
        fd: i32,
        request: u64,
        data: &'a [u8],
    },
    MapRead {
        fd: i32,
        flags: u64,
        size: usize,
        key: &'a [u8],
    },
    MapWrite {
        fd: i32,
        flags: u64,
        key: &'a [u8],
        value: &'a [u8],
    },
    MapDump(Dump),
    MapUpdate(Change<'a>),
    MapDelete(Change<'a>),
    ReadFile(&'a [u8]),
    WriteFile(Write<'a>),
    List(&'a [u8]),
    Stat {
        follow: bool,
        path: &'a [u8],
    },
    ReadLink(&'a [u8]),
    Open {
        flags: u32,
        mode: u32,
        path: &'a [u8],
    },
    MkDirs(&'a [u8]),
    Unlink(&'a [u8]),
    RmDir(&'a [u8]),
    SymLink {
        target: &'a [u8],
        path: &'a [u8],
    },
    ReadFd {
        fd: i32,
        most: usize,
    },
    Symbols {
        module: Option<&'a [u8]>,
        names: Vec<&'a [u8]>,
    },
    PidFdOpen {
        pid: i32,
        flags: u32,
    },
    PossibleCpus,
    Mount {
        flags: u64,
        source: &'a [u8],
        kind: &'a [u8],
        data: &'a [u8],
        path: &'a [u8],
    },
    Umount {
        flags: u32,
        path: &'a [u8],
    },
    Module {
        parameters: &'a [u8],
        module: &'a [u8],
    },
    Socket {
        family: u32,
        kind: u32,
        protocol: u32,
    },
    Bind {
        fd: i32,
        address: &'a [u8],
    },
    SetSockOpt {
        fd: i32,
        level: i32,
        option: i32,
        value: &'a [u8],
    },
    WriteFd {
        fd: i32,
        data: &'a [u8],
    },
    Exec(Exec<'a>),
    Input {
        job: u32,
        data: &'a [u8],
    },
    Signal {
        job: u32,
        signal: i32,
    },
    Resize {
        job: u32,
        rows: u16,
        columns: u16,
    },
    Sync,
    PowerOff,
}

/// Whether the host waits for an answer.
#[must_use]
pub fn answered(kind: u8) -> bool {
    !matches!(
        kind,
        kind::CLOSE | kind::INPUT | kind::SIGNAL | kind::RESIZE
    )
}

/// More bytes of arrays are in no command.
const MOST_COLUMN: usize = 1 << 31;

fn list<'a>(body: &mut Reader<'a>) -> Result<Vec<&'a [u8]>, Malformed> {
    (0..body.count(4)?).map(|_| body.bytes()).collect()
}

fn buffer<'a>(body: &mut Reader<'a>, attr: usize) -> Result<Buffer<'a>, Malformed> {
    let at = body.u32()? as usize;
    if at.checked_add(8).is_none_or(|end| end > attr) {
        return Err(Malformed("no address fits there in the attr"));
    }
    let writable = body.u8()? != 0;
    let length = body.u32()? as usize;
    let head = body.bytes()?;
    if head.len() > length || length > MOST_COLUMN {
        return Err(Malformed("a buffer begins with more than it holds"));
    }
    let pointers = (0..body.count(4)?)
        .map(|_| body.u32())
        .collect::<Result<Vec<_>, _>>()?;
    let fits = |offset: &u32| {
        (*offset as usize)
            .checked_add(8)
            .is_some_and(|end| end <= length)
    };
    if !pointers.iter().all(fits) {
        return Err(Malformed("no address fits there in the buffer"));
    }
    Ok(Buffer {
        at,
        writable,
        length,
        head,
        pointers,
    })
}

fn buffers<'a>(body: &mut Reader<'a>, attr: usize) -> Result<Vec<Buffer<'a>>, Malformed> {
    (0..body.count(17)?).map(|_| buffer(body, attr)).collect()
}

fn replay<'a>(body: &mut Reader<'a>, once: bool) -> Result<Replay<'a>, Malformed> {
    let (level, limit) = (body.u32()?, body.u64()?);
    let given = (0..body.count(8)?)
        .map(|_| Ok((body.u32()?, body.i32()?)))
        .collect::<Result<_, _>>()?;
    let plan = plan::decode(body.rest()).map_err(|_| Malformed("no plan"))?;
    Ok(Replay {
        once,
        level,
        limit,
        given,
        plan,
    })
}

fn change<'a>(body: &mut Reader<'a>, valued: bool) -> Result<Change<'a>, Malformed> {
    let fd = body.i32()?;
    let flags = if valued { body.u64()? } else { 0 };
    let batch = body.u8()? != 0;
    let count = body.u32()? as usize;
    let key = body.u32()? as usize;
    let value = if valued { body.u32()? as usize } else { 0 };
    let room = |size: usize| {
        count
            .checked_mul(size)
            .ok_or(Malformed("more elements than memory has bytes"))
    };
    let keys = body.take(room(key)?)?;
    let values = body.take(room(value)?)?;
    // A map without keys (a queue) has values; something is counted by what is there.
    if count > 0 && key == 0 && value == 0 {
        return Err(Malformed("elements without bytes"));
    }
    Ok(Change {
        fd,
        flags,
        batch,
        count,
        key,
        value,
        keys,
        values,
    })
}

fn dump(body: &mut Reader<'_>) -> Result<Dump, Malformed> {
    let dump = Dump {
        fd: body.i32()?,
        command: body.u32()?,
        flags: body.u64()?,
        key: body.u32()? as usize,
        value: body.u32()? as usize,
        row: body.u32()? as usize,
        value_at: body.u32()? as usize,
        chunk: body.u32()? as usize,
        most: usize::try_from(body.u64()?).unwrap_or(usize::MAX),
        unique: body.u8()? != 0,
    };
    // What `batch::dump` takes as its first room.
    let room = dump.chunk.checked_mul(dump.key.saturating_add(dump.value));
    if room.is_none_or(|room| room > MOST_COLUMN) {
        return Err(Malformed("more elements at once than memory holds"));
    }
    Ok(dump)
}

impl<'a> Request<'a> {
    /// Reads a body. Memory stays in proportion to it.
    ///
    /// # Errors
    /// No such kind, or a body that is not what its kind says.
    pub fn parse(kind: u8, data: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(data);
        let body = &mut reader;
        let request = match kind {
            kind::HELLO => Self::Hello,
            kind::CLOCK => Self::Clock {
                seconds: body.i64()?,
                nanoseconds: body.u32()?,
                seed: body.bytes()?,
            },
            kind::BPF => {
                let command = body.u32()?;
                let attr = body.bytes()?;
                Self::Bpf {
                    command,
                    attr,
                    buffers: buffers(body, attr.len())?,
                }
            }
            kind::REPLAY => Self::Replay(replay(body, false)?),
            kind::REPLAY_ONCE => Self::Replay(replay(body, true)?),
            kind::EACH => Self::Each(replay(body, true)?),
            kind::CLOSE => {
                let mut fds = Vec::new();
                while !body.is_empty() {
                    fds.push(body.i32()?);
                }
                Self::Close(fds)
            }
            kind::DUP => Self::Dup(body.i32()?),
            kind::PERF_EVENT_OPEN => {
                let (pid, cpu, group, flags) = (body.i32()?, body.i32()?, body.i32()?, body.u64()?);
                let attr = body.bytes()?;
                Self::PerfEventOpen {
                    pid,
                    cpu,
                    group,
                    flags,
                    attr,
                    buffers: buffers(body, attr.len())?,
                }
            }
            kind::IOCTL => Self::Ioctl {
                fd: body.i32()?,
                request: body.u64()?,
                argument: body.u64()?,
            },
            kind::IOCTL_BUFFER => Self::IoctlBuffer {
                fd: body.i32()?,
                request: body.u64()?,
                data: body.bytes()?,
            },
            kind::MAP_READ => Self::MapRead {
                fd: body.i32()?,
                flags: body.u64()?,
                size: body.u32()? as usize,
                key: body.bytes()?,
            },
            kind::MAP_WRITE => Self::MapWrite {
                fd: body.i32()?,
                flags: body.u64()?,
                key: body.bytes()?,
                value: body.bytes()?,
            },
            kind::MAP_DUMP => Self::MapDump(dump(body)?),
            kind::MAP_UPDATE => Self::MapUpdate(change(body, true)?),
            kind::MAP_DELETE => Self::MapDelete(change(body, false)?),
            kind::READ_FILE => Self::ReadFile(body.rest()),
            kind::WRITE_FILE => Self::WriteFile(Write {
                flags: body.u8()?,
                mode: body.u32()?,
                path: body.bytes()?,
                data: body.rest(),
            }),
            kind::LIST => Self::List(body.rest()),
            kind::STAT => Self::Stat {
                follow: body.u8()? != 0,
                path: body.rest(),
            },
            kind::READLINK => Self::ReadLink(body.rest()),
            kind::OPEN => Self::Open {
                flags: body.u32()?,
                mode: body.u32()?,
                path: body.rest(),
            },
            kind::MKDIRS => Self::MkDirs(body.rest()),
            kind::UNLINK => Self::Unlink(body.rest()),
            kind::RMDIR => Self::RmDir(body.rest()),
            kind::SYMLINK => Self::SymLink {
                target: body.bytes()?,
                path: body.rest(),
            },
            kind::READ_FD => Self::ReadFd {
                fd: body.i32()?,
                most: body.u32()? as usize,
            },
            kind::SYMBOLS => {
                let given = body.u8()? != 0;
                let module = body.bytes()?;
                let mut names = Vec::new();
                while !body.is_empty() {
                    names.push(body.bytes()?);
                }
                Self::Symbols {
                    module: given.then_some(module),
                    names,
                }
            }
            kind::PIDFD_OPEN => Self::PidFdOpen {
                pid: body.i32()?,
                flags: body.u32()?,
            },
            kind::POSSIBLE_CPUS => Self::PossibleCpus,
            kind::MOUNT => Self::Mount {
                flags: body.u64()?,
                source: body.bytes()?,
                kind: body.bytes()?,
                data: body.bytes()?,
                path: body.rest(),
            },
            kind::UMOUNT => Self::Umount {
                flags: body.u32()?,
                path: body.rest(),
            },
            kind::MODULE => Self::Module {
                parameters: body.bytes()?,
                module: body.rest(),
            },
            kind::SOCKET => Self::Socket {
                family: body.u32()?,
                kind: body.u32()?,
                protocol: body.u32()?,
            },
            kind::BIND => Self::Bind {
                fd: body.i32()?,
                address: body.bytes()?,
            },
            kind::SETSOCKOPT => Self::SetSockOpt {
                fd: body.i32()?,
                level: body.i32()?,
                option: body.i32()?,
                value: body.bytes()?,
            },
            kind::WRITE_FD => Self::WriteFd {
                fd: body.i32()?,
                data: body.rest(),
            },
            kind::EXEC => Self::Exec(Exec {
                flags: body.u8()?,
                rows: body.u16()?,
                columns: body.u16()?,
                folder: body.bytes()?,
                arguments: list(body)?,
                variables: list(body)?,
            }),
            kind::INPUT => Self::Input {
                job: body.u32()?,
                data: body.rest(),
            },
            kind::SIGNAL => Self::Signal {
                job: body.u32()?,
                signal: body.i32()?,
            },
            kind::RESIZE => Self::Resize {
                job: body.u32()?,
                rows: body.u16()?,
                columns: body.u16()?,
            },
            kind::SYNC => Self::Sync,
            kind::POWEROFF => Self::PowerOff,
            _ => return Err(Malformed("no such request")),
        };
        reader.end()?;
        Ok(request)
    }
}
