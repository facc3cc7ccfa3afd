//! Plans: kernel commands with slots for the descriptors earlier ones answered, and their form as one message.
//!
//! The message, all numbers little-endian, nothing aligned:
//!
//! ```text
//! 8 bytes  "bpfplan\x01"           the last byte is the version
//! u32      slots                   how many descriptors the plan names
//! u32      steps
//! per step:
//!   u32    command                 bpf(2) command; from 1000 on one of `MEMLOCK` ..
//!   i32    out                     slot of the new descriptor, -1: none
//!   u32    length, then the attr   union bpf_attr as far as the command uses it, in the byte order of the target
//!   u32    count, then (u32 offset, u32 slot) each                       descriptors written into the attr
//!   u32    blobs, then each:
//!     u32  offset                  where the blob's address (u64) goes in the attr
//!     u64  length, then the bytes
//!     u32  count, then (u32 offset, u32 slot) each                       descriptors written into the blob
//! ```
use std::fmt;

/// Lifts RLIMIT_MEMLOCK as far as allowed: kernels before 5.11 count maps against it.
pub const MEMLOCK: u32 = 1000;
/// Commands from here on are ours.
pub const OURS: u32 = 1000;
/// More descriptors are in no plan: a process may open about a million.
pub const MAX_SLOTS: usize = 1 << 20;
/// The kernel takes no larger attr than a page.
pub const MAX_ATTR: usize = 4096;

const MAGIC: &[u8; 8] = b"bpfplan\x01";

/// Where a descriptor goes: (byte offset, slot).
pub type Place = (u32, u32);

/// Bytes a command points to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blob<B> {
    /// Byte offset in the attr of the address.
    pub at: u32,
    pub bytes: B,
    pub slots: Vec<Place>,
}

/// One command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step<B> {
    pub cmd: u32,
    pub attr: B,
    pub blobs: Vec<Blob<B>>,
    pub slots: Vec<Place>,
    /// The slot the new descriptor goes to.
    pub out: Option<u32>,
}

/// Why a plan is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanError {
    pub message: String,
    /// The step it is about.
    pub step: Option<usize>,
}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.step {
            Some(step) => write!(f, "step {step}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

impl std::error::Error for PlanError {}

fn wrong(message: impl Into<String>, step: usize) -> PlanError {
    PlanError {
        message: message.into(),
        step: Some(step),
    }
}

/// Whether `len` bytes from `offset` on lie in `size` bytes.
fn fits(offset: u32, len: usize, size: usize) -> bool {
    (offset as usize)
        .checked_add(len)
        .is_some_and(|end| end <= size)
}

/// Holds for every plan that may be replayed: every place lies in its bytes, and every slot is filled before it is used.
///
/// # Errors
/// Names the first step that does not.
pub fn validate<B: AsRef<[u8]>>(
    steps: &[Step<B>],
    slots: usize,
    given: &[(u32, i32)],
) -> Result<(), PlanError> {
    if slots > MAX_SLOTS {
        return Err(PlanError {
            message: format!("{slots} slots are more than a process can have descriptors"),
            step: None,
        });
    }
    let mut filled = vec![false; slots];
    for (slot, fd) in given {
        match filled.get_mut(*slot as usize) {
            Some(place) if *fd >= 0 => *place = true,
            _ => {
                return Err(PlanError {
                    message: format!("given descriptor {fd} for slot {slot} of {slots}"),
                    step: None,
                });
            }
        }
    }
    for (index, step) in steps.iter().enumerate() {
        let attr = step.attr.as_ref();
        if attr.len() > MAX_ATTR {
            return Err(wrong(format!("an attr of {} bytes", attr.len()), index));
        }
        let check = |places: &[Place], size: usize| {
            for (offset, slot) in places {
                if !fits(*offset, 4, size) {
                    let text = format!("no descriptor fits at byte {offset} of {size}");
                    return Err(wrong(text, index));
                }
                if !filled.get(*slot as usize).copied().unwrap_or(false) {
                    return Err(wrong(format!("slot {slot} is not filled yet"), index));
                }
            }
            Ok(())
        };
        check(&step.slots, attr.len())?;
        for blob in &step.blobs {
            if !fits(blob.at, 8, attr.len()) {
                let text = format!("no address fits at byte {} of {}", blob.at, attr.len());
                return Err(wrong(text, index));
            }
            check(&blob.slots, blob.bytes.as_ref().len())?;
        }
        if let Some(out) = step.out {
            match filled.get_mut(out as usize) {
                Some(place) if !*place => *place = true,
                Some(_) => return Err(wrong(format!("slot {out} is filled twice"), index)),
                None => return Err(wrong(format!("slot {out} of {slots}"), index)),
            }
        }
    }
    Ok(())
}

fn put(out: &mut Vec<u8>, value: usize) {
    out.extend_from_slice(&(value as u32).to_le_bytes());
}

fn put_places(out: &mut Vec<u8>, places: &[Place]) {
    put(out, places.len());
    for (offset, slot) in places {
        out.extend_from_slice(&offset.to_le_bytes());
        out.extend_from_slice(&slot.to_le_bytes());
    }
}

/// The plan as one message; the inverse of `decode`.
#[must_use]
pub fn encode<B: AsRef<[u8]>>(steps: &[Step<B>], slots: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(64 * steps.len() + 16);
    out.extend_from_slice(MAGIC);
    put(&mut out, slots);
    put(&mut out, steps.len());
    for step in steps {
        out.extend_from_slice(&step.cmd.to_le_bytes());
        let filled = step.out.map_or(-1, |slot| slot as i32);
        out.extend_from_slice(&filled.to_le_bytes());
        let attr = step.attr.as_ref();
        put(&mut out, attr.len());
        out.extend_from_slice(attr);
        put_places(&mut out, &step.slots);
        put(&mut out, step.blobs.len());
        for blob in &step.blobs {
            out.extend_from_slice(&blob.at.to_le_bytes());
            let bytes = blob.bytes.as_ref();
            out.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
            out.extend_from_slice(bytes);
            put_places(&mut out, &blob.slots);
        }
    }
    out
}

struct Reader<'a> {
    rest: &'a [u8],
    total: usize,
}

impl<'a> Reader<'a> {
    fn fail<T>(&self, text: &str) -> Result<T, PlanError> {
        Err(PlanError {
            message: format!("byte {}: {text}", self.total - self.rest.len()),
            step: None,
        })
    }

    fn bytes(&mut self, len: usize) -> Result<&'a [u8], PlanError> {
        match self.rest.split_at_checked(len) {
            Some((bytes, rest)) => {
                self.rest = rest;
                Ok(bytes)
            }
            None => self.fail(&format!("{len} bytes expected, {} left", self.rest.len())),
        }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], PlanError> {
        match self.bytes(N)?.try_into() {
            Ok(bytes) => Ok(bytes),
            Err(_) => self.fail("too short"),
        }
    }

    fn u32(&mut self) -> Result<u32, PlanError> {
        self.array().map(u32::from_le_bytes)
    }

    /// How many things of at least `least` bytes follow; never more than the message could hold.
    fn count(&mut self, least: usize) -> Result<usize, PlanError> {
        let count = self.u32()? as usize;
        if count > self.rest.len() / least {
            return self.fail(&format!("{count} entries do not fit into the rest"));
        }
        Ok(count)
    }

    fn places(&mut self) -> Result<Vec<Place>, PlanError> {
        let count = self.count(8)?;
        (0..count).map(|_| Ok((self.u32()?, self.u32()?))).collect()
    }

    fn blob(&mut self) -> Result<Blob<&'a [u8]>, PlanError> {
        let at = self.u32()?;
        let len = u64::from_le_bytes(self.array()?);
        let bytes = self.bytes(usize::try_from(len).unwrap_or(usize::MAX))?;
        let slots = self.places()?;
        Ok(Blob { at, bytes, slots })
    }

    fn step(&mut self) -> Result<Step<&'a [u8]>, PlanError> {
        let cmd = self.u32()?;
        let out = match i32::from_le_bytes(self.array()?) {
            -1 => None,
            slot => match u32::try_from(slot) {
                Ok(slot) => Some(slot),
                Err(_) => return self.fail(&format!("slot {slot}")),
            },
        };
        let len = self.u32()? as usize;
        let attr = self.bytes(len)?;
        let slots = self.places()?;
        let count = self.count(16)?;
        let blobs = (0..count).map(|_| self.blob()).collect::<Result<_, _>>()?;
        Ok(Step {
            cmd,
            attr,
            blobs,
            slots,
            out,
        })
    }
}

/// What a message says: its steps, borrowed from it, and how many slots they name.
pub type Decoded<'a> = (Vec<Step<&'a [u8]>>, usize);

/// Reads a message; memory stays in proportion to it.
///
/// # Errors
/// Says the byte where it stops being a plan. What it says is not yet valid: see `validate`.
pub fn decode(data: &[u8]) -> Result<Decoded<'_>, PlanError> {
    let mut reader = Reader {
        rest: data,
        total: data.len(),
    };
    if reader.bytes(MAGIC.len())? != MAGIC {
        reader.rest = data;
        return reader.fail("no plan, or one of another version");
    }
    let slots = reader.u32()? as usize;
    if slots > MAX_SLOTS {
        return reader.fail(&format!("{slots} slots"));
    }
    let count = reader.count(20)?;
    let steps = (0..count)
        .map(|_| reader.step())
        .collect::<Result<_, _>>()?;
    if !reader.rest.is_empty() {
        return reader.fail("bytes behind the last step");
    }
    Ok((steps, slots))
}
