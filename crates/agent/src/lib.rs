//! The guest agent of the lab: one static executable with two faces.
//!
//! * `init`: PID 1 of a guest. It mounts, loads modules, brings `lo` up and then only supervises a worker, which serves the
//!   host over a virtio port. A worker that is killed for memory or crashes is reported to the host, and a fresh one goes on.
//! * `keep`: on the host, the parent of QEMU. It ends QEMU when its own standard input ends or it is killed itself.
//!
//! # Protocol, version 1
//!
//! All numbers are little-endian, nothing is aligned. `bytes` is `u32 length`, then the bytes; text is bytes, mostly UTF-8.
//! Both ways, everything is a frame:
//!
//! ```text
//! u8   0xb5        between frames of the guest, zero bytes are skipped: they fill up what a dead worker left half written
//! u8   kind        of the request, or of the answer
//! u16  0
//! u32  length      of the body
//! u32  id          the host's number of the request; answers repeat it
//! ...  body
//! ```
//!
//! The guest never sends frames of more than 32 KiB. Requests are done one after the other in the order of their arrival;
//! only `EXEC` goes on beside later ones. Answers:
//!
//! | kind | body | meaning |
//! |---|---|---|
//! | 0 `DONE` | as the request says | the end of the answer |
//! | 1 `ERROR` | i32 errno, text | the end: a kernel file or call refused |
//! | 2 `PART` | bytes without length | the answer's body begins with it; more follows |
//! | 3 `OUTPUT` | u8 1 or 2, then the bytes | what an `EXEC` wrote to standard output or error |
//! | | u8 3, u32 | so many more bytes of input it took: the host sends no more than `window` (`HELLO`) ahead of that |
//! | 4 `ENDED` | u8 how, i32 code, u32 generation, text | the worker is gone, and every open request with it (below) |
//! | 5 `UNREADABLE` | text | the end: no such request, or its body is malformed |
//! | 6 `TOO_LARGE` | u64 limit | the end: the body is longer than the guest has room for; it was skipped |
//!
//! `ENDED`: `how` is 1 killed by signal `code`, 2 killed for want of memory, 3 ended with exit status `code`. All descriptors,
//! children and open requests of the old worker are gone; descriptors of the `generation` told belong to the new one.
//!
//! Requests and what `DONE` answers (`->`); calls answer the kernel's value or `-errno` as i64:
//!
//! | kind | body -> answer |
//! |---|---|
//! | 1 `HELLO` | -> u32 version of this protocol, then pairs of text until the end (see `hello`) |
//! | 2 `CLOCK` | i64 seconds, u32 nanoseconds, bytes seed -> (nothing): sets the clock, reseeds the random numbers |
//! | 3 `BPF` | u32 command, bytes attr, u32 count, buffers -> i64, changes of the attr, changes of each writable buffer |
//! | 4 `REPLAY` | u32 log level, u64 log limit, u32 count, (u32 slot, i32 fd) each, plan -> an outcome |
//! | 5 `REPLAY_ONCE` | the same; all is closed again -> an outcome with infos |
//! | 6 `CLOSE` | i32 each until the end; no answer at all |
//! | 7 `DUP` | i32 fd -> i64 |
//! | 8 `PERF_EVENT_OPEN` | i32 pid, i32 cpu, i32 group, u64 flags, bytes attr, u32 count, buffers -> i64 |
//! | 9 `IOCTL` | i32 fd, u64 request, u64 argument -> i64 |
//! | 10 `IOCTL_BUFFER` | i32 fd, u64 request, bytes data -> i64, the data afterwards |
//! | 11 `MAP_READ` | i32 fd, u64 flags, u32 size, bytes key -> i64, the value when it is 0 |
//! | 12 `MAP_WRITE` | i32 fd, u64 flags, bytes key, bytes value -> i64 |
//! | 13 `MAP_DUMP` | i32 fd, u32 command (0: one by one), u64 flags, u32 key, u32 value, u32 row, u32 value at, u32 chunk, u64 most, u8 unique -> i32 errno, u64 calls, u64 repeated, rows |
//! | 14 `MAP_UPDATE` | i32 fd, u64 flags, u8 batch, u32 count, u32 key size, u32 value size, keys, values -> u64 done, u64 missing, i32 errno, u64 calls |
//! | 15 `MAP_DELETE` | i32 fd, u8 batch, u32 count, u32 key size, keys -> as `MAP_UPDATE` |
//! | 16 `READ_FILE` | path -> its bytes |
//! | 17 `WRITE_FILE` | u8 flags, u32 mode, path, data -> (nothing); flags: 1 create, 2 truncate, 4 append, 8 folders too |
//! | 18 `LIST` | path -> a name each, as bytes |
//! | 19 `STAT` | u8 follow, path -> u64 dev, u64 ino, u32 mode, u64 nlink, u32 uid, u32 gid, u64 size, i64 atime, i64 mtime, i64 ctime |
//! | 20 `READLINK` | path -> bytes |
//! | 21 `OPEN` | u32 flags, u32 mode, path -> i64 |
//! | 22 `MKDIRS`, 23 `UNLINK`, 24 `RMDIR` | path -> (nothing) |
//! | 25 `SYMLINK` | bytes target, path -> (nothing) |
//! | 26 `READ_FD` | i32 fd, u32 most -> bytes |
//! | 27 `SYMBOLS` | u8 whether a module is given, bytes module, names as bytes each -> (name, u32 count, (u64, module) each) each |
//! | 28 `PIDFD_OPEN` | i32 pid, u32 flags -> i64 |
//! | 29 `POSSIBLE_CPUS` | -> u32 |
//! | 30 `MOUNT` | u64 flags, bytes source, bytes type, bytes data, path -> (nothing) |
//! | 31 `UMOUNT` | u32 flags, path -> (nothing) |
//! | 32 `MODULE` | bytes parameters, the module -> (nothing) |
//! | 33 `EACH` | as `REPLAY`, of steps that need nothing of each other -> (i64, bytes log) each; all is closed again |
//! | 34 `SOCKET` | u32 family, u32 type, u32 protocol -> i64 |
//! | 35 `BIND` | i32 fd, bytes address -> i64 |
//! | 36 `SETSOCKOPT` | i32 fd, i32 level, i32 option, bytes value -> i64 |
//! | 37 `WRITE_FD` | i32 fd, bytes until the end -> i64 |
//! | 40 `EXEC` | u8 flags, u16 rows, u16 columns, bytes folder, u32 count, arguments, u32 count, variables -> i32 wait status |
//! | 41 `INPUT` | u32 the exec's id, bytes until the end (none: its end); no answer |
//! | 42 `SIGNAL` | u32 the exec's id, i32 signal, to all of its process group; no answer |
//! | 43 `RESIZE` | u32 the exec's id, u16 rows, u16 columns; no answer |
//! | 50 `SYNC` | -> (nothing) |
//! | 51 `POWEROFF` | -> (nothing), then the guest ends |
//!
//! A *buffer* is u32 offset of its address in the attr, u8 whether the kernel may write to it, u32 length, bytes that it begins
//! with (the rest is zero), u32 count and as many u32: offsets in it of u64 that are positions in it and become addresses.
//! *Changes* are u32 offset, bytes: what is different now. An *outcome* is i32 step (-1: none failed), i32 errno, bytes log,
//! u32 count of descriptors, i32 each (-1: none), u32 count of logs, (u32 step, bytes log) each, and with infos u32 count, (u32
//! step, bytes of `struct bpf_prog_info`) each. `EXEC` flags: 1 a terminal of its own (all it writes is standard output),
//! 2 no input. A path is bytes until the end of the body, except in `WRITE_FILE`, where it is bytes with a length.
#![allow(
    unsafe_code,
    reason = "mounts, modules, children and shared memory; every block says why it is sound"
)]

pub mod exec;
pub mod files;
pub mod inbox;
pub mod init;
pub mod keep;
pub mod kind;
pub mod maps;
pub mod ops;
pub mod request;
pub mod serve;
pub mod wire;
