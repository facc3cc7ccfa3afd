//! `.BTF.ext`: function, line and CO-RE records of each code section.
use crate::bytes::{u16_at, u32_at};
use crate::{Bytes, Error, Result};

/// Which function starts at an instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FuncInfo {
    /// Bytes from the start of the section.
    pub insn_off: u32,
    pub type_id: u32,
}

/// Which source line an instruction comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineInfo {
    /// Bytes from the start of the section.
    pub insn_off: u32,
    pub file_name_off: u32,
    /// String offset of the source text, 0 when the compiler had none.
    pub line_off: u32,
    pub line_col: u32,
}

impl LineInfo {
    #[must_use]
    pub fn line(&self) -> u32 {
        self.line_col >> 10
    }

    #[must_use]
    pub fn column(&self) -> u32 {
        self.line_col & 0x3ff
    }
}

/// One CO-RE relocation as stored: see [`crate::core`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CoreRelo {
    /// Bytes from the start of the section.
    pub insn_off: u32,
    pub type_id: u32,
    pub access_str_off: u32,
    pub kind: u32,
}

/// Which of the three lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum List {
    Func,
    Line,
    Core,
}

impl List {
    fn word(self) -> &'static str {
        match self {
            Self::Func => "func_info",
            Self::Line => "line_info",
            Self::Core => "core_relo",
        }
    }

    /// The record every reader must know; longer records keep their first bytes.
    fn known(self) -> u32 {
        match self {
            Self::Func => 8,
            Self::Line | Self::Core => 16,
        }
    }
}

/// The records of one code section in one of the three lists.
#[derive(Clone, Copy, Debug)]
struct Part {
    list: List,
    section_name_off: u32,
    rec_size: u32,
    count: u32,
    start: usize,
}

/// A parsed `.BTF.ext` over shared bytes. Records are decoded when iterated.
#[derive(Debug)]
pub struct BtfExt {
    bytes: Bytes,
    big_endian: bool,
    parts: Vec<Part>,
}

impl BtfExt {
    /// Reads the section's bytes. The byte order comes from the magic.
    ///
    /// # Errors
    /// What is malformed, naming the list and the offset in `.BTF.ext`.
    pub fn parse(data: impl Into<Bytes>) -> Result<Self> {
        let bytes: Bytes = data.into();
        let data = bytes.as_slice();
        let fail = |message: String| Err(Error::new(message, ".BTF.ext header"));
        let big_endian = match *data.get(..2).unwrap_or_default() {
            [0x9f, 0xeb] => false,
            [0xeb, 0x9f] => true,
            _ => return fail(format!("no BTF magic in the first of {} bytes", data.len())),
        };
        let field = |at: usize| u32_at(data, at, big_endian);
        let version = data.get(2).copied().unwrap_or_default();
        if version != 1 {
            return fail(format!("version {version} is not known, only 1"));
        }
        let Some(hdr_len) = field(4).filter(|&len| len >= 24 && len as usize <= data.len()) else {
            return fail(format!(
                "header length is not between 24 and the {} bytes there are",
                data.len()
            ));
        };
        let mut parts = Vec::new();
        for (list, at) in [(List::Func, 8), (List::Line, 16), (List::Core, 24)] {
            // Before Linux 5.4 (libbpf 0.0.6) the header ended after line_info.
            if at + 8 > hdr_len as usize {
                continue;
            }
            let (off, len) = (
                field(at).unwrap_or_default(),
                field(at + 4).unwrap_or_default(),
            );
            read_list(data, big_endian, list, (hdr_len, off, len), &mut parts)?;
        }
        Ok(Self {
            big_endian,
            parts,
            bytes,
        })
    }

    #[must_use]
    pub fn is_big_endian(&self) -> bool {
        self.big_endian
    }

    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.as_slice()
    }

    /// `(string offset of the section's name, records)` per code section, in file order.
    pub fn func_infos(
        &self,
    ) -> impl Iterator<Item = (u32, impl ExactSizeIterator<Item = FuncInfo> + '_)> + '_ {
        self.list(List::Func, |[insn_off, type_id, ..]| FuncInfo {
            insn_off,
            type_id,
        })
    }

    /// `(string offset of the section's name, records)` per code section, in file order.
    pub fn line_infos(
        &self,
    ) -> impl Iterator<Item = (u32, impl ExactSizeIterator<Item = LineInfo> + '_)> + '_ {
        self.list(
            List::Line,
            |[insn_off, file_name_off, line_off, line_col]| LineInfo {
                insn_off,
                file_name_off,
                line_off,
                line_col,
            },
        )
    }

    /// `(string offset of the section's name, records)` per code section, in file order.
    pub fn core_relos(
        &self,
    ) -> impl Iterator<Item = (u32, impl ExactSizeIterator<Item = CoreRelo> + '_)> + '_ {
        self.list(List::Core, |[insn_off, type_id, access_str_off, kind]| {
            CoreRelo {
                insn_off,
                type_id,
                access_str_off,
                kind,
            }
        })
    }

    fn list<T: 'static>(
        &self,
        list: List,
        make: fn([u32; 4]) -> T,
    ) -> impl Iterator<Item = (u32, impl ExactSizeIterator<Item = T> + '_)> + '_ {
        let (bytes, big) = (self.bytes.as_slice(), self.big_endian);
        self.parts
            .iter()
            .filter(move |part| part.list == list)
            .map(move |part| {
                let words = part.list.known() as usize / 4;
                let records = (0..part.count).map(move |index| {
                    let at = part.start + index as usize * part.rec_size as usize;
                    let mut record = [0; 4];
                    for (step, word) in record.iter_mut().enumerate().take(words) {
                        *word = u32_at(bytes, at + 4 * step, big).unwrap_or_default();
                    }
                    make(record)
                });
                (part.section_name_off, records)
            })
    }
}

/// Checks one list and notes where each section's records lie. `range` is (header length, offset, length).
fn read_list(
    data: &[u8],
    big: bool,
    list: List,
    range: (u32, u32, u32),
    parts: &mut Vec<Part>,
) -> Result<()> {
    let (hdr_len, off, len) = range;
    if len == 0 {
        return Ok(());
    }
    let word = list.word();
    let fail = |message: String, at: usize| {
        Err(Error::new(message, format!(".BTF.ext {word}, offset {at}")))
    };
    let start = u64::from(hdr_len) + u64::from(off);
    let end = start + u64::from(len);
    if end > data.len() as u64 {
        return fail(
            format!("{len} bytes end after the section's {}", data.len()),
            start as usize,
        );
    }
    if off % 4 != 0 {
        return fail(
            format!("offset {off} is not a multiple of 4"),
            start as usize,
        );
    }
    let (mut at, end) = (start as usize, end as usize);
    let Some(rec_size) = u32_at(data, at, big).filter(|_| len >= 4) else {
        return fail(format!("{len} bytes are too few for the record size"), at);
    };
    if rec_size < list.known() || rec_size % 4 != 0 {
        return fail(
            format!(
                "record size {rec_size} is not a multiple of 4 from {} up",
                list.known()
            ),
            at,
        );
    }
    at += 4;
    while at < end {
        let (Some(name), Some(count)) = (
            u32_at(data, at, big),
            u32_at(data, at + 4, big).filter(|_| at + 8 <= end),
        ) else {
            return fail(
                format!("{} bytes are too few for a section's header", end - at),
                at,
            );
        };
        let bytes = u64::from(count) * u64::from(rec_size);
        if bytes > (end - at - 8) as u64 {
            return fail(
                format!(
                    "{count} records of {rec_size} bytes, {} bytes are left",
                    end - at - 8
                ),
                at,
            );
        }
        if count == 0 {
            return fail("a section with no records".into(), at);
        }
        parts.push(Part {
            list,
            section_name_off: name,
            rec_size,
            count,
            start: at + 8,
        });
        at += 8 + bytes as usize;
    }
    Ok(())
}

/// True when these bytes start like a `.BTF.ext` of either byte order (the magic is BTF's).
#[must_use]
pub fn looks_like_btf_ext(data: &[u8]) -> bool {
    u16_at(data, 0, false)
        .is_some_and(|magic| magic == crate::MAGIC || magic == crate::MAGIC.swap_bytes())
}
