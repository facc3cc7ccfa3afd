//! One parsed BTF: a single pass over the bytes that builds nothing but the offset of each type.
use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

use crate::bytes::{u16_at, u32_at};
use crate::find::NameIndex;
use crate::{Bytes, Error, Kind, Result, Type};

/// The first two bytes of every BTF, read in its own byte order.
pub const MAGIC: u16 = 0xeb9f;

/// The shortest header there is; a longer one keeps what follows untouched.
pub const HEADER_LEN: u32 = 24;

/// Longer names are cut where they are shown or compared; the kernel itself allows 511 bytes.
pub(crate) const SHOWN_NAME: usize = 1024;

/// One BTF, base or split, over shared bytes.
///
/// Opening costs one linear pass over the type section. Members are read, and their ids and names checked, only
/// when somebody asks: an accessor given nonsense answers `None` or an empty name.
#[derive(Debug)]
pub struct Btf {
    bytes: Bytes,
    big_endian: bool,
    hdr_len: u32,
    types: (usize, usize), // start and end in `bytes`
    strings: (usize, usize),
    /// Where in the type section each own type starts; own type `i` has the id `first_id + i`.
    offsets: Vec<u32>,
    base: Option<Arc<Btf>>,
    first_id: u32,
    first_string: u32,
    pub(crate) names: OnceLock<NameIndex>,
    pub(crate) code_names: OnceLock<NameIndex>,
    pub(crate) single_lookups: std::sync::atomic::AtomicU32,
    pointer_size: OnceLock<u32>,
}

/// The sections of the header, already known to lie in the file.
struct Header {
    big: bool,
    hdr_len: u32,
    types: (usize, usize),
    strings: (usize, usize),
}

impl Btf {
    /// Reads a raw BTF (no ELF around it). The byte order comes from the magic.
    ///
    /// # Errors
    /// A malformed header, sections outside the data or over each other, a type that does not end inside its
    /// section, or a kind this crate does not know (named by number and type id).
    pub fn parse(data: impl Into<Bytes>) -> Result<Self> {
        Self::parse_inner(data.into(), None)
    }

    /// Reads a split BTF, whose type ids and string offsets continue those of `base` (a kernel module's).
    ///
    /// # Errors
    /// As [`Btf::parse`].
    pub fn parse_split(data: impl Into<Bytes>, base: Arc<Self>) -> Result<Self> {
        Self::parse_inner(data.into(), Some(base))
    }

    fn parse_inner(bytes: Bytes, base: Option<Arc<Self>>) -> Result<Self> {
        let data = bytes.as_slice();
        let header = Header::read(data, base.is_some())?;
        let first_id = base.as_ref().map_or(1, |base| base.len());
        let first_string = base.as_ref().map_or(0, |base| base.strings_end());
        let section = data.get(header.types.0..header.types.1).unwrap_or_default();
        let offsets = index_types(section, header.big, first_id)?;
        Ok(Self {
            big_endian: header.big,
            hdr_len: header.hdr_len,
            types: header.types,
            strings: header.strings,
            offsets,
            base,
            first_id,
            first_string,
            names: OnceLock::new(),
            code_names: OnceLock::new(),
            single_lookups: std::sync::atomic::AtomicU32::new(0),
            pointer_size: OnceLock::new(),
            bytes,
        })
    }

    /// How many type ids there are, the base's and void (id 0) included: ids are `0..len()`.
    #[must_use]
    pub fn len(&self) -> u32 {
        self.first_id.saturating_add(self.offsets.len() as u32)
    }

    /// True when not even the base has a type besides void.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() <= 1
    }

    /// The first id that is this BTF's own: 1, or what follows the base's last.
    #[must_use]
    pub fn first_id(&self) -> u32 {
        self.first_id
    }

    #[must_use]
    pub fn base(&self) -> Option<&Arc<Self>> {
        self.base.as_ref()
    }

    #[must_use]
    pub fn is_big_endian(&self) -> bool {
        self.big_endian
    }

    /// Bytes of the header, at least [`HEADER_LEN`].
    #[must_use]
    pub fn header_len(&self) -> u32 {
        self.hdr_len
    }

    /// The bytes this was parsed from, unchanged.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.as_slice()
    }

    /// A copy of the bytes this was parsed from: reading and writing back changes nothing.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.as_bytes().to_vec()
    }

    /// The type with this id; id 0 is void. `None` past the end.
    #[inline]
    #[must_use]
    pub fn get(&self, id: u32) -> Option<Type<'_>> {
        if id < self.first_id {
            return match &self.base {
                Some(base) => base.get(id),
                None => Some(Type::void(self)),
            };
        }
        let at = *self.offsets.get((id - self.first_id) as usize)?;
        Type::read(self, id, at)
    }

    /// Every type of this BTF itself (not the base's), in id order.
    pub fn own_types(&self) -> impl Iterator<Item = Type<'_>> + '_ {
        (self.first_id..self.len()).filter_map(|id| self.get(id))
    }

    /// Every type, void and the base's included, in id order.
    pub fn types(&self) -> impl Iterator<Item = Type<'_>> + '_ {
        (0..self.len()).filter_map(|id| self.get(id))
    }

    /// All string bytes from `offset` on; `None` outside the strings.
    #[inline]
    pub(crate) fn tail_at(&self, offset: u32) -> Option<&[u8]> {
        match offset.checked_sub(self.first_string) {
            Some(own) => self.string_section().get(own as usize..),
            None => self.base.as_ref()?.tail_at(offset),
        }
    }

    /// The bytes of the string at `offset`, without its NUL; `None` outside the strings.
    #[must_use]
    pub fn bytes_at(&self, offset: u32) -> Option<&[u8]> {
        let tail = self.tail_at(offset)?;
        tail.get(..memchr::memchr(0, tail)?)
    }

    /// As [`Btf::bytes_at`], but looks at no more than its first KiB: for what is done to every type or
    /// member, where one endless name shared by a million of them would cost forever.
    #[must_use]
    pub fn cut_at(&self, offset: u32) -> &[u8] {
        let tail = self.tail_at(offset).unwrap_or_default();
        let tail = tail.get(..SHOWN_NAME).unwrap_or(tail);
        let end = memchr::memchr(0, tail).unwrap_or(tail.len());
        tail.get(..end).unwrap_or_default()
    }

    /// True when the string at `offset` is `text`, which has no NUL: cheaper than fetching it.
    #[inline]
    #[must_use]
    pub fn string_is(&self, offset: u32, text: &[u8]) -> bool {
        let rest = self
            .tail_at(offset)
            .and_then(|tail| tail.strip_prefix(text));
        rest.is_some_and(|rest| rest.first() == Some(&0))
    }

    /// The string at `offset`; what is not UTF-8 shows as U+FFFD. `None` outside the strings.
    #[must_use]
    pub fn str_at(&self, offset: u32) -> Option<Cow<'_, str>> {
        self.bytes_at(offset).map(String::from_utf8_lossy)
    }

    /// The string offset after the last one, which is the first of a split BTF on top of this one.
    #[must_use]
    pub fn strings_end(&self) -> u32 {
        self.first_string
            .saturating_add((self.strings.1 - self.strings.0) as u32)
    }

    /// Own strings, without the base's.
    pub(crate) fn string_section(&self) -> &[u8] {
        self.as_bytes()
            .get(self.strings.0..self.strings.1)
            .unwrap_or_default()
    }

    pub(crate) fn first_string(&self) -> u32 {
        self.first_string
    }

    pub(crate) fn type_section(&self) -> &[u8] {
        self.as_bytes()
            .get(self.types.0..self.types.1)
            .unwrap_or_default()
    }

    pub(crate) fn offsets(&self) -> &[u32] {
        &self.offsets
    }

    /// Bytes of a pointer: what `long` has in this BTF (or its base), 8 when it has no `long`.
    ///
    /// A BTF in a BPF object always means 8; say so with [`Btf::set_pointer_size`].
    #[must_use]
    pub fn pointer_size(&self) -> u32 {
        *self.pointer_size.get_or_init(|| match &self.base {
            Some(base) => base.pointer_size(),
            None => self.guess_pointer_size(),
        })
    }

    /// Fixes the size of a pointer before the first query; later calls change nothing.
    pub fn set_pointer_size(&self, bytes: u32) {
        let _ = self.pointer_size.set(bytes);
    }

    fn guess_pointer_size(&self) -> u32 {
        const LONG: [&[u8]; 12] = [
            b"long",
            b"long int",
            b"int long",
            b"unsigned long",
            b"long unsigned",
            b"unsigned long int",
            b"unsigned int long",
            b"long unsigned int",
            b"long int unsigned",
            b"int unsigned long",
            b"int long unsigned",
            b"signed long",
        ];
        self.own_types()
            .filter(|ty| ty.kind() == Kind::Int)
            .find(|ty| matches!(ty.size(), Some(4 | 8)) && LONG.contains(&ty.name_bytes()))
            .and_then(|ty| ty.size())
            .unwrap_or(8)
    }
}

impl Header {
    fn read(data: &[u8], split: bool) -> Result<Self> {
        let fail = |message: String, at: &str| Err(Error::new(message, at));
        let magic = data.get(..2).unwrap_or_default();
        let big = match *magic {
            [0x9f, 0xeb] => false,
            [0xeb, 0x9f] => true,
            [] | [_] => {
                return fail(
                    format!("{} bytes are too few for a BTF header", data.len()),
                    "BTF header",
                );
            }
            [a, b, ..] => {
                return fail(
                    format!("bad magic `{a:02x} {b:02x}`, expected `9f eb` or `eb 9f`"),
                    "BTF header",
                );
            }
        };
        let version = data.get(2).copied().unwrap_or_default();
        let field = |at: usize| u32_at(data, at, big);
        let (Some(hdr_len), Some(type_off), Some(type_len), Some(str_off), Some(str_len)) =
            (field(4), field(8), field(12), field(16), field(20))
        else {
            return fail(
                format!(
                    "{} bytes are too few for a BTF header of {HEADER_LEN}",
                    data.len()
                ),
                "BTF header",
            );
        };
        if version != 1 {
            return fail(
                format!("BTF version {version} is not known, only 1"),
                "BTF header",
            );
        }
        if hdr_len < HEADER_LEN || hdr_len as usize > data.len() {
            return fail(
                format!(
                    "header length {hdr_len} is not between {HEADER_LEN} and the {} bytes there are",
                    data.len()
                ),
                "BTF header",
            );
        }
        let left = data.len() as u64 - u64::from(hdr_len);
        let (type_end, str_end) = (
            u64::from(type_off) + u64::from(type_len),
            u64::from(str_off) + u64::from(str_len),
        );
        if type_end > left {
            return fail(
                format!("type section {type_off}+{type_len} ends after the {left} bytes of data"),
                "BTF header",
            );
        }
        if str_end > left {
            return fail(
                format!("string section {str_off}+{str_len} ends after the {left} bytes of data"),
                "BTF header",
            );
        }
        if type_len > 0
            && str_len > 0
            && u64::from(type_off) < str_end
            && u64::from(str_off) < type_end
        {
            return fail(
                format!(
                    "type section {type_off}+{type_len} and string section {str_off}+{str_len} overlap"
                ),
                "BTF header",
            );
        }
        if type_off % 4 != 0 {
            return fail(
                format!("type section starts at {type_off}, not a multiple of 4"),
                "BTF header",
            );
        }
        let at = |offset: u64| (u64::from(hdr_len) + offset) as usize;
        let strings = (at(u64::from(str_off)), at(str_end));
        let section = data.get(strings.0..strings.1).unwrap_or_default();
        match (section.first(), section.last()) {
            (None, _) if split => {}
            (None, _) => return fail("the string section is empty".into(), "BTF header"),
            (_, Some(&last)) if last != 0 => {
                return fail(
                    "the last string has no NUL at its end".into(),
                    "BTF string section",
                );
            }
            (Some(&first), _) if first != 0 && !split => {
                return fail("the first string is not empty".into(), "BTF string section");
            }
            _ => {}
        }
        Ok(Self {
            big,
            hdr_len,
            types: (at(u64::from(type_off)), at(type_end)),
            strings,
        })
    }
}

/// Bytes of each kind's record without elements, and of one element. Zero means: not a kind we know.
#[allow(
    clippy::indexing_slicing,
    reason = "computed by the compiler: out of bounds would not build"
)]
const SIZES: [(u8, u8); 128] = {
    let mut sizes = [(0, 0); 128];
    let mut kind = 0;
    while kind < 128 {
        if let Some((fixed, each)) = Kind::tail(kind as u8) {
            sizes[kind] = (12 + fixed as u8, each as u8);
        }
        kind += 1;
    }
    sizes
};

/// Walks the records once. Memory is at most a third of the section: a record has at least 12 bytes, an entry 4.
fn index_types(section: &[u8], big: bool, first_id: u32) -> Result<Vec<u32>> {
    let mut offsets = Vec::with_capacity(section.len() / 24);
    let mut at = 0_usize;
    while at < section.len() {
        let id = || u64::from(first_id) + offsets.len() as u64;
        let Some(info) = u32_at(section, at + 4, big).filter(|_| at + 12 <= section.len()) else {
            return Err(Error::new(
                format!(
                    "type {} is cut off: {} bytes left of its 12",
                    id(),
                    section.len() - at
                ),
                format!("BTF type section, offset {at}"),
            ));
        };
        // `vlen` has 24 bits and the kind 7 since the header may carry a layout section; until then
        // (Linux 6.x) they had 16 and 5, and the bits between were zero.
        let (kind, vlen) = ((info >> 24) & 0x7f, info & 0x00ff_ffff);
        let (fixed, each) = SIZES.get(kind as usize).copied().unwrap_or_default();
        if fixed == 0 {
            return Err(Error::new(
                format!(
                    "type {} has kind {kind}, which is not known (kinds 1 to {} are)",
                    id(),
                    Kind::MAX
                ),
                format!("BTF type section, offset {at}"),
            ));
        }
        let len = u64::from(fixed) + u64::from(each) * u64::from(vlen);
        if len > (section.len() - at) as u64 {
            return Err(Error::new(
                format!(
                    "type {} needs {len} bytes for {vlen} elements, {} are left",
                    id(),
                    section.len() - at
                ),
                format!("BTF type section, offset {at}"),
            ));
        }
        offsets.push(at as u32);
        at += len as usize;
    }
    if u64::from(first_id) + offsets.len() as u64 > u64::from(u32::MAX) {
        return Err(Error::new(
            "more type ids than 32 bits can count",
            "BTF type section",
        ));
    }
    Ok(offsets)
}

/// True when these bytes start like a BTF of either byte order.
#[must_use]
pub fn looks_like_btf(data: &[u8]) -> bool {
    u16_at(data, 0, false).is_some_and(|magic| magic == MAGIC || magic == MAGIC.swap_bytes())
}
