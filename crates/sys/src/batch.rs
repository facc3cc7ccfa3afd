//! Whole maps in and out: loops over BPF_MAP_*_BATCH, and over single elements where a kernel or map has no batches.
//!
//! The rules that keep a dump complete: a short batch is not the end (the next bucket did not fit), only ENOENT is; ENOSPC
//! says that one bucket holds more than asked for, so the next call asks for twice as much. Without batches the kernel
//! starts over when the key it should go on from was deleted meanwhile: such rows are recognised and left out.
use std::collections::HashSet;
use std::os::fd::RawFd;

use crate::call;

const LOOKUP: u32 = 1;
const UPDATE: u32 = 2;
const DELETE: u32 = 3;
const NEXT_KEY: u32 = 4;
const UPDATE_BATCH: u32 = 26;
const DELETE_BATCH: u32 = 27;

/// Elements stored or deleted at once: their keys and values stay in the second-level cache while they are gathered.
const CHUNK: usize = 4096;
/// Elements asked for at once: each call ends before the bucket that does not fit, and 4096 cost a tenth more.
const LARGE_CHUNK: usize = 1 << 16;
/// One bucket never holds that much; beyond it the kernel contradicts itself.
const LARGEST_CHUNK: usize = 1 << 24;

/// Where key and value lie in a row; a row of `key` bytes has no value.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    pub key: usize,
    /// Bytes the kernel copies per value: of per-CPU maps that of all CPUs.
    pub value: usize,
    pub row: usize,
    pub value_at: usize,
}

impl Layout {
    /// Whether rows hold what they promise, and sizes are some that a map can have.
    #[must_use]
    pub fn valid(&self) -> bool {
        let keys_only = self.row == self.key;
        let end = self.value_at.checked_add(self.value);
        self.row > 0
            && self.row <= 1 << 30
            && self.value <= 1 << 30
            && self.key <= self.row
            && (keys_only || (self.value_at >= self.key && end.is_some_and(|end| end <= self.row)))
    }

    fn keys_only(&self) -> bool {
        self.row == self.key
    }
}

/// What a dump found. `errno` is 0 when it is complete; with any other the rows are those read before.
#[derive(Debug, Default)]
pub struct Dump {
    pub data: Vec<u8>,
    pub errno: i32,
    /// System calls it took.
    pub calls: u64,
    /// Rows met twice because the kernel started over: entries were deleted meanwhile.
    pub repeated: u64,
}

/// One bpf(2) attribute with fields by offset.
struct Attr([u8; 56]);

impl Attr {
    fn new() -> Self {
        Self([0; 56])
    }

    fn put32(&mut self, at: usize, value: u32) {
        if let Some(place) = self.0.get_mut(at..at + 4) {
            place.copy_from_slice(&value.to_ne_bytes());
        }
    }

    fn put64(&mut self, at: usize, value: u64) {
        if let Some(place) = self.0.get_mut(at..at + 8) {
            place.copy_from_slice(&value.to_ne_bytes());
        }
    }

    fn get32(&self, at: usize) -> u32 {
        let bytes = self
            .0
            .get(at..at + 4)
            .and_then(|place| <[u8; 4]>::try_from(place).ok());
        bytes.map_or(0, u32::from_ne_bytes)
    }

    fn pointer(&mut self, at: usize, bytes: &mut [u8]) {
        self.put64(at, bytes.as_mut_ptr() as u64);
    }

    /// # Safety
    /// Every address in it must be valid for what `cmd` reads and writes there.
    unsafe fn call(&mut self, cmd: u32, size: usize) -> i32 {
        let Some(bytes) = self.0.get_mut(..size) else {
            return libc::EINVAL;
        };
        // SAFETY: the caller's promise.
        let value = unsafe { call::bpf(cmd, bytes) };
        if value < 0 { (-value) as i32 } else { 0 }
    }
}

/// Reads every element by batches; `command` is BPF_MAP_LOOKUP_BATCH or BPF_MAP_LOOKUP_AND_DELETE_BATCH.
///
/// `most`: after so many rows a map that goes on by key (not by bucket) is taken to have started over. `unique`: leave
/// out rows of keys met before.
#[must_use]
pub fn dump(
    fd: RawFd,
    command: u32,
    layout: Layout,
    flags: u64,
    chunk: usize,
    most: usize,
    unique: bool,
) -> Dump {
    let mut out = Dump::default();
    if !layout.valid() {
        out.errno = libc::EINVAL;
        return out;
    }
    let mut chunk = if chunk == 0 {
        // Wide values: about a megabyte at once.
        LARGE_CHUNK.min(((1 << 20) / (layout.key + layout.value).max(1)).max(16))
    } else {
        chunk
    };
    // The kernel's position: the number of a bucket, or a key.
    let mut from = vec![0u8; layout.key.max(8)];
    let mut next = vec![0u8; layout.key.max(8)];
    let mut keys = vec![0u8; chunk * layout.key];
    let mut values = vec![0u8; chunk * layout.value];
    let mut started = false;
    let mut interrupted = 0u32;
    loop {
        let mut attr = Attr::new();
        if started {
            attr.pointer(0, &mut from);
        }
        attr.pointer(8, &mut next);
        attr.pointer(16, &mut keys);
        attr.pointer(24, &mut values);
        attr.put32(32, chunk as u32);
        attr.put32(36, fd as u32);
        attr.put64(40, flags);
        // SAFETY: positions have room for a key, `keys` and `values` for `chunk` elements of the sizes given; a caller who
        // gives sizes smaller than the map's is refused above this module (sizes come from the map's own information).
        let errno = unsafe { attr.call(command, 56) };
        out.calls += 1;
        let got = (attr.get32(32) as usize).min(chunk);
        match errno {
            0 | libc::ENOENT | libc::EINTR => {
                // A refused command leaves the count as it was: only what cannot be refused is believed.
                append(&mut out.data, layout, &keys, &values, got);
                if errno == libc::ENOENT {
                    break;
                }
                interrupted = if got > 0 { 0 } else { interrupted + 1 };
                if interrupted > 64 {
                    out.errno = libc::EINTR;
                    break;
                }
            }
            libc::ENOSPC if chunk < LARGEST_CHUNK => {
                chunk *= 2;
                keys.resize(chunk * layout.key, 0);
                values.resize(chunk * layout.value, 0);
                continue;
            }
            other => {
                out.errno = other;
                break;
            }
        }
        if got > 0 || errno == 0 {
            std::mem::swap(&mut from, &mut next);
            started = true;
        }
        if most > 0 && out.data.len() / layout.row > most {
            break;
        }
    }
    if unique {
        out.repeated = keep_first(&mut out.data, layout);
    }
    out
}

/// Puts the first `count` keys and values into rows at the end of `data`.
fn append(data: &mut Vec<u8>, layout: Layout, keys: &[u8], values: &[u8], count: usize) {
    let Layout { key, value, .. } = layout;
    if layout.keys_only() {
        data.extend_from_slice(keys.get(..count * key).unwrap_or_default());
        return;
    }
    match (key, value) {
        (4, 4) => place::<4, 4>(data, layout, keys, values, count),
        (4, 8) => place::<4, 8>(data, layout, keys, values, count),
        (8, 4) => place::<8, 4>(data, layout, keys, values, count),
        (8, 8) => place::<8, 8>(data, layout, keys, values, count),
        (4, 16) => place::<4, 16>(data, layout, keys, values, count),
        (8, 16) => place::<8, 16>(data, layout, keys, values, count),
        (16, 8) => place::<16, 8>(data, layout, keys, values, count),
        (16, 16) => place::<16, 16>(data, layout, keys, values, count),
        _ => {
            for (row, source) in grow(data, layout, count)
                .chunks_exact_mut(layout.row)
                .zip(0usize..)
            {
                let from = keys.get(source * key..(source + 1) * key);
                if let (Some(to), Some(from)) = (row.get_mut(..key), from) {
                    to.copy_from_slice(from);
                }
                let to = row.get_mut(layout.value_at..layout.value_at + value);
                let from = values.get(source * value..(source + 1) * value);
                if let (Some(to), Some(from)) = (to, from) {
                    to.copy_from_slice(from);
                }
            }
        }
    }
}

/// The usual sizes, known to the compiler: a few moves per row.
fn place<const K: usize, const V: usize>(
    data: &mut Vec<u8>,
    layout: Layout,
    keys: &[u8],
    values: &[u8],
    count: usize,
) {
    let pairs = keys
        .as_chunks::<K>()
        .0
        .iter()
        .zip(values.as_chunks::<V>().0);
    let at = layout.value_at;
    for (row, (key, value)) in grow(data, layout, count)
        .chunks_exact_mut(layout.row)
        .zip(pairs)
    {
        if let Some(to) = row.first_chunk_mut::<K>() {
            *to = *key;
        }
        if let Some(to) = row.get_mut(at..).and_then(<[u8]>::first_chunk_mut::<V>) {
            *to = *value;
        }
    }
}

fn grow(data: &mut Vec<u8>, layout: Layout, count: usize) -> &mut [u8] {
    let before = data.len();
    data.resize(before + count * layout.row, 0);
    data.get_mut(before..).unwrap_or_default()
}

/// Removes rows whose key an earlier row has; how many.
fn keep_first(data: &mut Vec<u8>, layout: Layout) -> u64 {
    let mut seen: HashSet<&[u8]> = HashSet::with_capacity(data.len() / layout.row);
    let twice: Vec<bool> = data
        .chunks_exact(layout.row)
        .map(|row| !seen.insert(row.get(..layout.key).unwrap_or_default()))
        .collect();
    let removed = twice.iter().filter(|&&again| again).count();
    if removed > 0 {
        let kept: Vec<u8> = data
            .chunks_exact(layout.row)
            .zip(&twice)
            .filter(|&(_, &again)| !again)
            .flat_map(|(row, _)| row.iter().copied())
            .collect();
        *data = kept;
    }
    removed as u64
}

/// Reads every element one by one, for maps without batches. `most`: more keys than the map has room for.
#[must_use]
pub fn dump_each(fd: RawFd, layout: Layout, flags: u64, most: usize) -> Dump {
    let mut out = Dump::default();
    if !layout.valid() {
        out.errno = libc::EINVAL;
        return out;
    }
    let mut key = vec![0u8; layout.key.max(1)];
    let mut next = vec![0u8; layout.key.max(1)];
    let mut value = vec![0u8; layout.value.max(1)];
    let mut seen: HashSet<Box<[u8]>> = HashSet::new();
    let mut started = false;
    // Met in a row without a new one: the whole map was walked again.
    let mut stale = 0usize;
    loop {
        let mut attr = Attr::new();
        attr.put32(0, fd as u32);
        if started {
            attr.pointer(8, &mut key);
        }
        attr.pointer(16, &mut next);
        // SAFETY: both have room for a key of the map's size.
        let errno = unsafe { attr.call(NEXT_KEY, 24) };
        out.calls += 1;
        match errno {
            0 => {}
            libc::ENOENT => break,
            other => {
                out.errno = other;
                break;
            }
        }
        std::mem::swap(&mut key, &mut next);
        started = true;
        if !seen.insert(key.get(..layout.key).unwrap_or_default().into()) {
            out.repeated += 1;
            stale += 1;
            if stale > most.max(1) {
                break;
            }
            continue;
        }
        stale = 0;
        if !layout.keys_only() {
            let errno = lookup(fd, &mut key, &mut value, flags);
            out.calls += 1;
            match errno {
                0 => {}
                // Deleted since its key was told, or an empty slot of an array of objects.
                libc::ENOENT => continue,
                other => {
                    out.errno = other;
                    break;
                }
            }
        }
        append(&mut out.data, layout, &key, &value, 1);
    }
    out
}

/// Reads one element into `value`; 0 or errno.
#[must_use]
pub fn read(fd: RawFd, key: &[u8], value: &mut [u8], flags: u64) -> i32 {
    let mut attr = Attr::new();
    attr.put32(0, fd as u32);
    attr.put64(8, key.as_ptr() as u64);
    attr.pointer(16, value);
    attr.put64(24, flags);
    // SAFETY: the kernel reads the key and writes the value; both have the map's sizes, which the caller got from the map.
    unsafe { attr.call(LOOKUP, 32) }
}

/// Stores one element; 0 or errno.
#[must_use]
pub fn write(fd: RawFd, key: &[u8], value: &[u8], flags: u64) -> i32 {
    let mut attr = Attr::new();
    attr.put32(0, fd as u32);
    attr.put64(8, key.as_ptr() as u64);
    attr.put64(16, value.as_ptr() as u64);
    attr.put64(24, flags);
    // SAFETY: the kernel reads a key and a value of the map's sizes.
    unsafe { attr.call(UPDATE, 32) }
}

fn lookup(fd: RawFd, key: &mut [u8], value: &mut [u8], flags: u64) -> i32 {
    let mut attr = Attr::new();
    attr.put32(0, fd as u32);
    attr.pointer(8, key);
    attr.pointer(16, value);
    attr.put64(24, flags);
    // SAFETY: room for a key and a value of the map's sizes.
    unsafe { attr.call(LOOKUP, 32) }
}

/// A column of equally sized items, `stride` bytes from one to the next.
#[derive(Clone, Copy, Debug)]
pub struct Column<'a> {
    pub data: &'a [u8],
    pub size: usize,
    pub stride: usize,
}

impl Column<'_> {
    /// Whether it holds `count` items.
    #[must_use]
    pub fn holds(&self, count: usize) -> bool {
        let Some(last) = count.checked_sub(1) else {
            return true;
        };
        last.checked_mul(self.stride)
            .and_then(|start| start.checked_add(self.size))
            .is_some_and(|end| end <= self.data.len())
    }

    fn item(&self, at: usize) -> &[u8] {
        let start = at * self.stride;
        self.data.get(start..start + self.size).unwrap_or_default()
    }

    /// Copies items `first..first + count` one after the other into `to`.
    fn gather(&self, first: usize, count: usize, to: &mut Vec<u8>) {
        to.clear();
        if self.stride == self.size {
            let (start, end) = (first * self.size, (first + count) * self.size);
            to.extend_from_slice(self.data.get(start..end).unwrap_or_default());
            return;
        }
        match self.size {
            4 => self.pick::<4>(first, count, to),
            8 => self.pick::<8>(first, count, to),
            16 => self.pick::<16>(first, count, to),
            _ => {
                for at in first..first + count {
                    to.extend_from_slice(self.item(at));
                }
            }
        }
    }

    fn pick<const N: usize>(&self, first: usize, count: usize, to: &mut Vec<u8>) {
        let from = self.data.get(first * self.stride..).unwrap_or_default();
        to.extend(
            from.chunks(self.stride)
                .take(count)
                .filter_map(|row| row.first_chunk::<N>())
                .flatten(),
        );
    }
}

/// What an update or deletion did: elements done in the order given, elements that were not there, errno (0: all done).
#[derive(Clone, Copy, Debug, Default)]
pub struct Done {
    pub done: usize,
    pub missing: usize,
    pub errno: i32,
    pub calls: u64,
}

/// Stores `count` elements by batches.
#[must_use]
pub fn update(fd: RawFd, keys: Column<'_>, values: Column<'_>, count: usize, flags: u64) -> Done {
    let mut out = Done::default();
    if !keys.holds(count) || !values.holds(count) {
        out.errno = libc::EINVAL;
        return out;
    }
    let chunk = CHUNK.min(((1 << 20) / (keys.size + values.size).max(1)).max(16));
    let mut some_keys = Vec::with_capacity(chunk * keys.size);
    let mut some_values = Vec::with_capacity(chunk * values.size);
    while out.done < count {
        let now = chunk.min(count - out.done);
        keys.gather(out.done, now, &mut some_keys);
        values.gather(out.done, now, &mut some_values);
        let mut attr = Attr::new();
        attr.pointer(16, &mut some_keys);
        attr.pointer(24, &mut some_values);
        attr.put32(32, now as u32);
        attr.put32(36, fd as u32);
        attr.put64(40, flags);
        // SAFETY: `now` keys and values of the sizes given.
        let errno = unsafe { attr.call(UPDATE_BATCH, 56) };
        out.calls += 1;
        if errno == 0 {
            out.done += now;
            continue;
        }
        // Refused before the first one, the count is what was asked for.
        let stored = attr.get32(32) as usize;
        out.done += if stored < now { stored } else { 0 };
        if errno == libc::EINTR || errno == libc::EAGAIN {
            continue;
        }
        out.errno = errno;
        break;
    }
    out
}

/// Stores `count` elements one by one.
#[must_use]
pub fn update_each(
    fd: RawFd,
    keys: Column<'_>,
    values: Column<'_>,
    count: usize,
    flags: u64,
) -> Done {
    let mut out = Done::default();
    if !keys.holds(count) || !values.holds(count) {
        out.errno = libc::EINVAL;
        return out;
    }
    let mut key = vec![0u8; keys.size.max(1)];
    let mut value = vec![0u8; values.size.max(1)];
    while out.done < count {
        keys.gather(out.done, 1, &mut key);
        values.gather(out.done, 1, &mut value);
        let mut attr = Attr::new();
        attr.put32(0, fd as u32);
        attr.pointer(8, &mut key);
        attr.pointer(16, &mut value);
        attr.put64(24, flags);
        // SAFETY: one key and one value of the sizes given.
        let errno = unsafe { attr.call(UPDATE, 32) };
        out.calls += 1;
        if errno != 0 {
            out.errno = errno;
            break;
        }
        out.done += 1;
    }
    out
}

/// Deletes `count` keys, by batches where there are some; a key that is not there is counted and passed over.
#[must_use]
pub fn delete(fd: RawFd, keys: Column<'_>, count: usize, batch: bool) -> Done {
    let mut out = Done::default();
    if !keys.holds(count) {
        out.errno = libc::EINVAL;
        return out;
    }
    let chunk = if batch { CHUNK } else { 1 };
    let mut some = Vec::with_capacity(chunk * keys.size.max(1));
    let mut at = 0;
    while at < count {
        let now = chunk.min(count - at);
        keys.gather(at, now, &mut some);
        let mut attr = Attr::new();
        let errno = if batch {
            attr.pointer(16, &mut some);
            attr.put32(32, now as u32);
            attr.put32(36, fd as u32);
            // SAFETY: `now` keys of the size given.
            unsafe { attr.call(DELETE_BATCH, 56) }
        } else {
            attr.put32(0, fd as u32);
            attr.pointer(8, &mut some);
            // SAFETY: one key of the size given.
            unsafe { attr.call(DELETE, 32) }
        };
        out.calls += 1;
        let done = match errno {
            0 => now,
            _ if batch => Some(attr.get32(32) as usize)
                .filter(|&done| done < now)
                .unwrap_or(0),
            _ => 0,
        };
        out.done += done;
        at += done;
        match errno {
            0 | libc::EINTR | libc::EAGAIN => {}
            libc::ENOENT => {
                out.missing += 1;
                at += 1;
            }
            other => {
                out.errno = other;
                break;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests;
