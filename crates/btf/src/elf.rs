//! Just enough ELF to find `.BTF` in an object, a kernel module or a `vmlinux`, of any class and byte order.
use std::ops::Range;
use std::sync::Arc;

use crate::bytes::{u16_at, u32_at};
use crate::{Btf, Bytes, Error, Result};

fn u64_at(bytes: &[u8], at: usize, big: bool) -> Option<u64> {
    let raw: [u8; 8] = bytes.get(at..at.checked_add(8)?)?.try_into().ok()?;
    Some(if big {
        u64::from_be_bytes(raw)
    } else {
        u64::from_le_bytes(raw)
    })
}

/// True when these bytes start like an ELF file.
#[must_use]
pub fn looks_like_elf(data: &[u8]) -> bool {
    data.starts_with(b"\x7fELF")
}

/// A section header's parts that matter here.
struct Section {
    name: u32,
    kind: u32,
    range: Range<usize>,
}

struct Headers<'a> {
    data: &'a [u8],
    big: bool,
    wide: bool,
    start: u64,
    each: u64,
    count: u64,
    strings: u64,
}

impl<'a> Headers<'a> {
    fn read(data: &'a [u8]) -> Option<Self> {
        if !looks_like_elf(data) {
            return None;
        }
        let wide = *data.get(4)? == 2;
        let big = *data.get(5)? == 2;
        let (start, tail) = if wide {
            (u64_at(data, 40, big)?, 58)
        } else {
            (u64::from(u32_at(data, 32, big)?), 46)
        };
        let mut headers = Self {
            data,
            big,
            wide,
            start,
            each: u64::from(u16_at(data, tail, big)?),
            count: u64::from(u16_at(data, tail + 2, big)?),
            strings: u64::from(u16_at(data, tail + 4, big)?),
        };
        // Over 65,279 sections the real numbers stand in section 0.
        if headers.count == 0 || headers.strings == 0xffff {
            let (size, link) = headers.escaped()?;
            headers.count = if headers.count == 0 {
                size
            } else {
                headers.count
            };
            headers.strings = if headers.strings == 0xffff {
                link
            } else {
                headers.strings
            };
        }
        Some(headers)
    }

    fn at(&self, index: u64) -> Option<usize> {
        usize::try_from(index.checked_mul(self.each)?.checked_add(self.start)?).ok()
    }

    fn escaped(&self) -> Option<(u64, u64)> {
        let at = self.at(0)?;
        if self.wide {
            Some((
                u64_at(self.data, at + 32, self.big)?,
                u64::from(u32_at(self.data, at + 40, self.big)?),
            ))
        } else {
            Some((
                u64::from(u32_at(self.data, at + 20, self.big)?),
                u64::from(u32_at(self.data, at + 24, self.big)?),
            ))
        }
    }

    fn section(&self, index: u64) -> Option<Section> {
        let at = self.at(index)?;
        let (start, size) = if self.wide {
            (
                u64_at(self.data, at.checked_add(24)?, self.big)?,
                u64_at(self.data, at.checked_add(32)?, self.big)?,
            )
        } else {
            (
                u64::from(u32_at(self.data, at.checked_add(16)?, self.big)?),
                u64::from(u32_at(self.data, at.checked_add(20)?, self.big)?),
            )
        };
        let end = start.checked_add(size)?;
        Some(Section {
            name: u32_at(self.data, at, self.big)?,
            kind: u32_at(self.data, at.checked_add(4)?, self.big)?,
            range: usize::try_from(start).ok()?..usize::try_from(end).ok()?,
        })
    }

    fn find(&self, name: &[u8]) -> Option<Range<usize>> {
        const NOBITS: u32 = 8;
        let names = self.data.get(self.section(self.strings)?.range)?;
        // No more headers than the file has room for.
        let room = self.data.len() as u64 / self.each.max(40);
        (1..self.count.min(room + 1))
            .filter_map(|index| self.section(index))
            .find_map(|section| {
                let rest = names.get(section.name as usize..)?.strip_prefix(name)?;
                (rest.first() == Some(&0) && section.kind != NOBITS).then_some(section.range)
            })
    }
}

impl Btf {
    /// Reads `.BTF` of an ELF file. A module built with its own `.BTF.base` stands on that, whatever `base` says:
    /// its ids mean nothing on another.
    ///
    /// # Errors
    /// Not an ELF file, no `.BTF` in it, or one that is malformed.
    pub fn parse_elf(data: impl Into<Bytes>, base: Option<Arc<Self>>) -> Result<Self> {
        let bytes = data.into();
        let Some(headers) = Headers::read(bytes.as_slice()) else {
            return Err(Error::new("not an ELF file", "ELF header"));
        };
        let part = |name: &[u8]| headers.find(name).map(|range| bytes.slice(range));
        let Some(btf) = part(b".BTF") else {
            return Err(Error::new("no section `.BTF`", "ELF section headers"));
        };
        let base = match part(b".BTF.base") {
            Some(distilled) => Some(Arc::new(Self::parse(distilled)?)),
            None => base,
        };
        match base {
            Some(base) => Self::parse_split(btf, base),
            None => Self::parse(btf),
        }
    }

    /// Reads either a raw BTF or an ELF file with one, by its first bytes.
    ///
    /// # Errors
    /// As [`Btf::parse`] and [`Btf::parse_elf`].
    pub fn parse_any(data: impl Into<Bytes>, base: Option<Arc<Self>>) -> Result<Self> {
        let bytes = data.into();
        if looks_like_elf(bytes.as_slice()) {
            return Self::parse_elf(bytes, base);
        }
        match base {
            Some(base) => Self::parse_split(bytes, base),
            None => Self::parse(bytes),
        }
    }
}
