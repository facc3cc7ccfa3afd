//! Numbers of the protocol; `lib.rs` says what they mean.

pub const MARK: u8 = 0xb5;
pub const VERSION: u32 = 1;
/// Bytes of a frame before its body.
pub const HEADER: usize = 12;
/// A write to a virtio port of at most so much is one buffer: all of it is queued, or nothing.
pub const MOST_FRAME: usize = 32 << 10;

pub const DONE: u8 = 0;
pub const ERROR: u8 = 1;
pub const PART: u8 = 2;
pub const OUTPUT: u8 = 3;
pub const ENDED: u8 = 4;
pub const UNREADABLE: u8 = 5;
pub const TOO_LARGE: u8 = 6;

pub const HELLO: u8 = 1;
pub const CLOCK: u8 = 2;
pub const BPF: u8 = 3;
pub const REPLAY: u8 = 4;
pub const REPLAY_ONCE: u8 = 5;
pub const CLOSE: u8 = 6;
pub const DUP: u8 = 7;
pub const PERF_EVENT_OPEN: u8 = 8;
pub const IOCTL: u8 = 9;
pub const IOCTL_BUFFER: u8 = 10;
pub const MAP_READ: u8 = 11;
pub const MAP_WRITE: u8 = 12;
pub const MAP_DUMP: u8 = 13;
pub const MAP_UPDATE: u8 = 14;
pub const MAP_DELETE: u8 = 15;
pub const READ_FILE: u8 = 16;
pub const WRITE_FILE: u8 = 17;
pub const LIST: u8 = 18;
pub const STAT: u8 = 19;
pub const READLINK: u8 = 20;
pub const OPEN: u8 = 21;
pub const MKDIRS: u8 = 22;
pub const UNLINK: u8 = 23;
pub const RMDIR: u8 = 24;
pub const SYMLINK: u8 = 25;
pub const READ_FD: u8 = 26;
pub const SYMBOLS: u8 = 27;
pub const PIDFD_OPEN: u8 = 28;
pub const POSSIBLE_CPUS: u8 = 29;
pub const MOUNT: u8 = 30;
pub const UMOUNT: u8 = 31;
pub const MODULE: u8 = 32;
pub const EACH: u8 = 33;
pub const SOCKET: u8 = 34;
pub const BIND: u8 = 35;
pub const SETSOCKOPT: u8 = 36;
pub const WRITE_FD: u8 = 37;
pub const EXEC: u8 = 40;
pub const INPUT: u8 = 41;
pub const SIGNAL: u8 = 42;
pub const RESIZE: u8 = 43;
pub const SYNC: u8 = 50;
pub const POWEROFF: u8 = 51;
