//! One walk over the records of a stream, and what can be made of them.
use std::slice;

/// Why a walk stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Nothing more is there.
    Empty,
    /// What was asked for is full.
    Full,
    /// The next record is still being written.
    Busy,
    /// The next record is shorter than its type.
    Short,
    /// The next record's selector names no type.
    Unknown,
    /// The memory is no ring: a record reaches beyond what was produced.
    Broken,
}

impl End {
    /// The number the bindings answer.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Empty => 0,
            Self::Full => 1,
            Self::Busy => 2,
            Self::Short => 3,
            Self::Unknown => 4,
            Self::Broken => 5,
        }
    }
}

/// A record where it lies; perf records may wrap around the end, then there are two parts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Piece {
    pub(crate) head: *const u8,
    pub(crate) head_len: usize,
    pub(crate) tail: *const u8,
    pub(crate) len: usize,
}

impl Piece {
    /// Copies the first `len` bytes, at most the record's own.
    ///
    /// # Safety
    /// `out` has room for them, and the record is not given back meanwhile.
    pub(crate) unsafe fn copy(self, out: *mut u8, len: usize) {
        let len = len.min(self.len);
        let first = len.min(self.head_len);
        // SAFETY: both parts are mapped for their lengths, and `out` has room.
        unsafe {
            std::ptr::copy_nonoverlapping(self.head, out, first);
            if len > first {
                std::ptr::copy_nonoverlapping(self.tail, out.add(first), len - first);
            }
        }
    }

    fn append(self, out: &mut Vec<u8>, len: usize) {
        let len = len.min(self.len);
        let first = len.min(self.head_len);
        // SAFETY: both parts are mapped for their lengths.
        out.extend_from_slice(unsafe { slice::from_raw_parts(self.head, first) });
        if len > first {
            // SAFETY: the same.
            out.extend_from_slice(unsafe { slice::from_raw_parts(self.tail, len - first) });
        }
    }

    /// The unsigned number of 1, 2, 4 or 8 bytes at `offset`.
    fn number(self, offset: usize, size: usize) -> Option<u64> {
        let end = offset.checked_add(size)?;
        if end > self.len || size > 8 {
            return None;
        }
        let mut bytes = [0_u8; 8];
        for (place, byte) in bytes.iter_mut().take(size).enumerate() {
            let at = offset + place;
            // SAFETY: `at` is below the record's length.
            *byte = unsafe {
                if at < self.head_len {
                    *self.head.add(at)
                } else {
                    *self.tail.add(at - self.head_len)
                }
            };
        }
        if cfg!(target_endian = "big") {
            bytes.rotate_right(8 - size);
        }
        Some(u64::from_ne_bytes(bytes))
    }
}

/// What stands at a position.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Next {
    /// A record, and the bytes it takes in the stream.
    Record(Piece, u64),
    /// Nothing for a reader: a discarded record, a note of the kernel's.
    Skip(u64),
    /// The walk ends here.
    Stop(End),
}

/// What a stream needs for being walked over.
pub(crate) trait Source {
    fn next(&mut self, position: u64, producer: u64) -> Next;
}

/// A walk's place and end.
pub(crate) struct Walk {
    pub(crate) position: u64,
    pub(crate) producer: u64,
}

/// Records copied: how many, and why no more.
#[derive(Debug, Clone, Copy)]
pub struct Taken {
    /// Records.
    pub count: usize,
    /// Why no more.
    pub end: End,
}

/// Records of any length, copied one after the other.
#[derive(Debug)]
pub struct Mixed {
    /// Their bytes; each starts at a multiple of 8.
    pub data: Vec<u8>,
    /// Where each starts in `data`.
    pub offsets: Vec<u32>,
    /// Bytes of each.
    pub lengths: Vec<u32>,
    /// Why no more.
    pub end: End,
}

/// The types of a mixed stream, by the number in a field.
#[derive(Debug)]
pub struct Types {
    /// Where the selecting field lies in every record.
    pub offset: usize,
    /// Its bytes: 1, 2, 4 or 8.
    pub size: usize,
    /// (number, index of its type)
    pub values: Vec<(u64, u8)>,
    /// Bytes of each type.
    pub sizes: Vec<usize>,
}

impl Types {
    fn of(&self, number: u64) -> Option<u8> {
        self.values
            .iter()
            .find(|(value, _)| *value == number)
            .map(|(_, index)| *index)
    }
}

/// Records sorted by type.
#[derive(Debug)]
pub struct Sorted {
    /// Dense records of each type.
    pub data: Vec<Vec<u8>>,
    /// The type of every record, in the stream's order.
    pub order: Vec<u8>,
    /// Why no more.
    pub end: End,
}

/// Equal records, copied without gaps: `size` bytes of each.
pub(crate) fn dense<S: Source>(
    source: &mut S,
    walk: &mut Walk,
    out: &mut [u8],
    size: usize,
    most: usize,
) -> Taken {
    let most = most.min(out.len().checked_div(size).unwrap_or(usize::MAX));
    let mut count = 0;
    let mut at = out.as_mut_ptr();
    while count < most {
        match source.next(walk.position, walk.producer) {
            Next::Record(piece, slot) => {
                if piece.len < size {
                    return Taken {
                        count,
                        end: End::Short,
                    };
                }
                // SAFETY: `count < most`, so `size` bytes are left in `out`.
                unsafe {
                    piece.copy(at, size);
                    at = at.add(size);
                }
                count += 1;
                walk.position += slot;
            }
            Next::Skip(slot) => walk.position += slot,
            Next::Stop(end) => return Taken { count, end },
        }
    }
    Taken {
        count,
        end: End::Full,
    }
}

/// Records of any length.
pub(crate) fn mixed<S: Source>(
    source: &mut S,
    walk: &mut Walk,
    most: usize,
    most_bytes: usize,
) -> Mixed {
    let mut out = Mixed {
        data: Vec::new(),
        offsets: Vec::new(),
        lengths: Vec::new(),
        end: End::Full,
    };
    while out.offsets.len() < most && (out.data.len() < most_bytes) {
        match source.next(walk.position, walk.producer) {
            Next::Record(piece, slot) => {
                let Ok(offset) = u32::try_from(out.data.len()) else {
                    return out;
                };
                out.offsets.push(offset);
                out.lengths.push(piece.len as u32);
                piece.append(&mut out.data, piece.len);
                out.data.resize(out.data.len().next_multiple_of(8), 0);
                walk.position += slot;
            }
            Next::Skip(slot) => walk.position += slot,
            Next::Stop(end) => {
                out.end = end;
                return out;
            }
        }
    }
    out
}

/// Records by type.
pub(crate) fn sorted<S: Source>(
    source: &mut S,
    walk: &mut Walk,
    types: &Types,
    most: usize,
) -> Sorted {
    let mut out = Sorted {
        data: types.sizes.iter().map(|_| Vec::new()).collect(),
        order: Vec::new(),
        end: End::Full,
    };
    // Runs of one type are the rule: the last answer is asked first.
    let mut last = None;
    while out.order.len() < most {
        match source.next(walk.position, walk.producer) {
            Next::Record(piece, slot) => {
                let number = piece.number(types.offset, types.size);
                let Some(number) = number else {
                    out.end = End::Short;
                    return out;
                };
                let index = match last {
                    Some((value, index)) if value == number => Some(index),
                    _ => types.of(number),
                };
                let place = index.map(usize::from);
                let size = place.and_then(|place| types.sizes.get(place));
                let data = place.and_then(|place| out.data.get_mut(place));
                let (Some(index), Some(&size), Some(data)) = (index, size, data) else {
                    out.end = End::Unknown;
                    return out;
                };
                if piece.len < size {
                    out.end = End::Short;
                    return out;
                }
                piece.append(data, size);
                out.order.push(index);
                last = Some((number, index));
                walk.position += slot;
            }
            Next::Skip(slot) => walk.position += slot,
            Next::Stop(end) => {
                out.end = end;
                return out;
            }
        }
    }
    out
}

/// The next record's bytes, whatever they are.
pub(crate) fn one<S: Source>(source: &mut S, walk: &mut Walk) -> Result<Vec<u8>, End> {
    loop {
        match source.next(walk.position, walk.producer) {
            Next::Record(piece, slot) => {
                let mut bytes = Vec::with_capacity(piece.len);
                piece.append(&mut bytes, piece.len);
                walk.position += slot;
                return Ok(bytes);
            }
            Next::Skip(slot) => walk.position += slot,
            Next::Stop(end) => return Err(end),
        }
    }
}

/// What ring and perf buffers have in common. Every call takes from where the last one stopped; what is taken is given
/// back to the kernel at once. `Err` holds an errno: `ECHILD` in a forked child, `EBADF` after closing.
pub trait Stream {
    /// `size` bytes of each record into `out`, without gaps.
    fn take_dense(&self, out: &mut [u8], size: usize, most: usize) -> Result<Taken, i32>;
    /// Records of any length.
    fn take_mixed(&self, most: usize, most_bytes: usize) -> Result<Mixed, i32>;
    /// Records by the number in a field.
    fn take_sorted(&self, types: &Types, most: usize) -> Result<Sorted, i32>;
    /// One record.
    fn take_one(&self) -> Result<Result<Vec<u8>, End>, i32>;
    /// Bytes that wait, headers included.
    fn waiting(&self) -> u64;
    /// Bytes of the buffer.
    fn size(&self) -> u64;
}
