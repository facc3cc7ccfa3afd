//! A BTF that can be changed in place: ids and string offsets stay what they are, records never grow.
use std::collections::HashMap;

use crate::bytes::u32_at;
use crate::{Btf, Error, HEADER_LEN, Kind, MAGIC, Result};

/// Words of a record before what its kind adds: name, info, size or type.
const COMMON: usize = 3;
const NAME: usize = 0;
const INFO: usize = 1;
const OF: usize = 2;

/// A copy of a BTF for the kernel: records as words, in their own order.
#[derive(Debug)]
pub struct Draft {
    big_endian: bool,
    words: Vec<u32>,
    /// Per type from id 1 on: where its words start, and how many of them count.
    places: Vec<(usize, usize)>,
    strings: Vec<u8>,
    added: HashMap<Vec<u8>, u32>,
}

impl Draft {
    /// Copies a BTF without a base.
    #[must_use]
    pub fn new(btf: &Btf) -> Self {
        let (section, big) = (btf.type_section(), btf.is_big_endian());
        let words = (0..section.len() / 4)
            .map(|at| u32_at(section, at * 4, big).unwrap_or_default())
            .collect();
        let starts = btf.offsets().iter().map(|at| *at as usize / 4);
        let ends = starts.clone().skip(1).chain([section.len() / 4]);
        Self {
            big_endian: big,
            words,
            places: starts
                .zip(ends)
                .map(|(a, b)| (a, b.saturating_sub(a)))
                .collect(),
            strings: btf.string_section().to_vec(),
            added: HashMap::new(),
        }
    }

    /// One more than the last id.
    #[must_use]
    pub fn len(&self) -> u32 {
        self.places.len() as u32 + 1
    }

    /// True without any type.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    fn place(&self, id: u32) -> Option<(usize, usize)> {
        self.places.get((id as usize).checked_sub(1)?).copied()
    }

    /// Word `index` of a record; 0 outside.
    #[must_use]
    pub fn word(&self, id: u32, index: usize) -> u32 {
        self.place(id)
            .filter(|(_, len)| index < *len)
            .and_then(|(start, _)| self.words.get(start + index).copied())
            .unwrap_or_default()
    }

    /// Changes a word; nothing outside the record.
    pub fn set_word(&mut self, id: u32, index: usize, word: u32) {
        let Some((start, len)) = self.place(id) else {
            return;
        };
        if index < len
            && let Some(at) = self.words.get_mut(start + index)
        {
            *at = word;
        }
    }

    /// VOID for id 0 and past the end.
    #[must_use]
    pub fn kind(&self, id: u32) -> Kind {
        Kind::from_number((self.word(id, INFO) >> 24) as u8 & 0x7f).unwrap_or(Kind::Void)
    }

    /// How many elements a record has.
    #[must_use]
    pub fn vlen(&self, id: u32) -> u32 {
        self.word(id, INFO) & 0x00ff_ffff
    }

    /// Bit 31 of the info word.
    #[must_use]
    pub fn flag(&self, id: u32) -> bool {
        self.word(id, INFO) >> 31 != 0
    }

    /// The string offset of the name.
    #[must_use]
    pub fn name_off(&self, id: u32) -> u32 {
        self.word(id, NAME)
    }

    /// Names a type by a string offset.
    pub fn set_name_off(&mut self, id: u32, offset: u32) {
        self.set_word(id, NAME, offset);
    }

    /// The size or type word.
    #[must_use]
    pub fn of(&self, id: u32) -> u32 {
        self.word(id, OF)
    }

    /// Changes the size or type word.
    pub fn set_of(&mut self, id: u32, word: u32) {
        self.set_word(id, OF, word);
    }

    /// Changes kind, flag and number of elements; what the new kind does not have is cut off.
    pub fn set_info(&mut self, id: u32, kind: Kind, flag: bool, vlen: u32) {
        let info = u32::from(flag) << 31 | u32::from(kind.number()) << 24 | (vlen & 0x00ff_ffff);
        self.set_word(id, INFO, info);
        let (fixed, each) = Kind::tail(kind.number()).unwrap_or_default();
        let len = COMMON + (fixed as usize + each as usize * vlen as usize) / 4;
        if let Some(at) = (id as usize).checked_sub(1)
            && let Some(place) = self.places.get_mut(at)
        {
            place.1 = place.1.min(len);
        }
    }

    /// FUNC and VAR: 0 static, 1 global, 2 extern.
    #[must_use]
    pub fn linkage(&self, id: u32) -> u32 {
        match self.kind(id) {
            Kind::Func => self.vlen(id),
            _ => self.word(id, COMMON),
        }
    }

    /// Changes the linkage of a FUNC or VAR.
    pub fn set_linkage(&mut self, id: u32, linkage: u32) {
        match self.kind(id) {
            Kind::Func => self.set_info(id, Kind::Func, self.flag(id), linkage),
            Kind::Var => self.set_word(id, COMMON, linkage),
            _ => {}
        }
    }

    /// Word `part` of element `index`, elements being `width` words wide.
    #[must_use]
    pub fn part(&self, id: u32, index: u32, width: usize, part: usize) -> u32 {
        self.word(id, COMMON + index as usize * width + part)
    }

    /// Changes a word of an element.
    pub fn set_part(&mut self, id: u32, index: u32, width: usize, part: usize, word: u32) {
        self.set_word(id, COMMON + index as usize * width + part, word);
    }

    /// The elements of a record by value.
    #[must_use]
    pub fn elements<const N: usize>(&self, id: u32) -> Vec<[u32; N]> {
        (0..self.vlen(id))
            .map(|index| std::array::from_fn(|part| self.part(id, index, N, part)))
            .collect()
    }

    /// Writes elements back, as many as there were or fewer.
    pub fn set_elements<const N: usize>(&mut self, id: u32, elements: &[[u32; N]]) {
        let (kind, flag) = (self.kind(id), self.flag(id));
        for (index, element) in elements.iter().enumerate() {
            for (part, word) in element.iter().enumerate() {
                self.set_part(id, index as u32, N, part, *word);
            }
        }
        self.set_info(id, kind, flag, elements.len() as u32);
    }

    /// A string's bytes, at most `limit` of them; `None` for an offset outside.
    #[must_use]
    pub fn string(&self, offset: u32, limit: usize) -> Option<&[u8]> {
        let tail = self
            .strings
            .get(offset as usize..)
            .filter(|t| !t.is_empty())?;
        let tail = tail.get(..limit).unwrap_or(tail);
        let end = memchr::memchr(0, tail).unwrap_or(tail.len());
        tail.get(..end)
    }

    /// Adds a string, once.
    pub fn add_string(&mut self, text: &[u8]) -> u32 {
        if text.is_empty() {
            return 0;
        }
        if let Some(&at) = self.added.get(text) {
            return at;
        }
        let at = self.strings.len() as u32;
        self.strings.extend_from_slice(text);
        self.strings.push(0);
        self.added.insert(text.to_vec(), at);
        at
    }

    /// Adds a record after the last; answers its id.
    pub fn add(&mut self, name: &[u8], kind: Kind, vlen: u32, of: u32, tail: &[u32]) -> u32 {
        let name = self.add_string(name);
        let start = self.words.len();
        let info = u32::from(kind.number()) << 24 | (vlen & 0x00ff_ffff);
        self.words.extend([name, info, of]);
        self.words.extend_from_slice(tail);
        self.places.push((start, COMMON + tail.len()));
        self.places.len() as u32
    }

    /// Adds an INT of so many bytes.
    pub fn add_int(&mut self, name: &[u8], size: u32) -> u32 {
        self.add(name, Kind::Int, 0, size, &[size * 8])
    }

    /// The whole BTF: header, types, strings.
    ///
    /// # Errors
    /// Over 4 GiB of types or strings.
    pub fn finish(&self) -> Result<Vec<u8>> {
        let too_large = |_| Error::new("over 4 GiB of types or strings", "BTF");
        let count: usize = self.places.iter().map(|(_, len)| len).sum();
        let types = u32::try_from(count * 4).map_err(too_large)?;
        let strings = u32::try_from(self.strings.len()).map_err(too_large)?;
        let mut out = Vec::with_capacity(HEADER_LEN as usize + count * 4 + self.strings.len());
        let big = self.big_endian;
        out.extend(if big {
            MAGIC.to_be_bytes()
        } else {
            MAGIC.to_le_bytes()
        });
        out.extend([1, 0]);
        let header = [HEADER_LEN, 0, types, types, strings];
        let records = self
            .places
            .iter()
            .flat_map(|(start, len)| self.words.get(*start..start + len).unwrap_or_default());
        for word in header.iter().chain(records) {
            out.extend(if big {
                word.to_be_bytes()
            } else {
                word.to_le_bytes()
            });
        }
        out.extend_from_slice(&self.strings);
        Ok(out)
    }
}
