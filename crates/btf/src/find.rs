//! Finding types by name: a vector search of the strings for the first few, a hash index once there are more.
use memchr::memmem;

use crate::btf::SHOWN_NAME;
use crate::bytes::u32_at;
use crate::core::essential_name;
use crate::{Btf, Kind, Type};

/// So many lookups are answered by scanning. One scan of a kernel's BTF takes about as long as a tenth of building
/// the index.
const SCANS: u32 = 3;

/// Own types by the hash of their essential name (flavour cut off): heads of chains, and each type's successor.
/// Chains are in id order.
#[derive(Debug)]
pub(crate) struct NameIndex {
    heads: Vec<u32>,
    next: Vec<u32>,
}

const END: u32 = u32::MAX;
const SEED: u64 = 0x9e37_79b9_7f4a_7c15;

#[inline]
fn mix(state: u64, word: u64) -> u64 {
    let wide = u128::from(state ^ word) * u128::from(SEED);
    (wide as u64) ^ (wide >> 64) as u64
}

/// Eight bytes at a time, the last ones padded with zeros.
fn hash(name: &[u8]) -> u64 {
    let (words, rest) = name.as_chunks::<8>();
    let state = words
        .iter()
        .fold(SEED, |state, word| mix(state, u64::from_le_bytes(*word)));
    if rest.is_empty() {
        return state;
    }
    let last = rest
        .iter()
        .rev()
        .fold(0, |last, &byte| last << 8 | u64::from(byte));
    mix(state, last)
}

/// The hash of the string that starts here and its length, in one walk; `None` when it is too long to be indexed
/// whole, or too near to the end to be read by words.
#[inline]
fn hash_string(tail: &[u8]) -> Option<(u64, usize)> {
    const LOW: u64 = 0x0101_0101_0101_0101;
    let mut state = SEED;
    for (index, word) in tail
        .as_chunks::<8>()
        .0
        .iter()
        .take(SHOWN_NAME / 8)
        .enumerate()
    {
        let word = u64::from_le_bytes(*word);
        // The lowest set bit marks the first zero byte; higher ones may be false.
        let zeros = word.wrapping_sub(LOW) & !word & (LOW << 7);
        if zeros == 0 {
            state = mix(state, word);
            continue;
        }
        let bytes = zeros.trailing_zeros() as usize / 8;
        let last = word & !(u64::MAX << (8 * bytes));
        let state = if bytes == 0 { state } else { mix(state, last) };
        return Some((state, index * 8 + bytes));
    }
    None
}

/// What a name is indexed under.
fn key(name: &[u8]) -> &[u8] {
    essential_name(name.get(..SHOWN_NAME).unwrap_or(name))
}

/// What is code or about it (FUNC, VAR, DATASEC, tags) has an index of its own: half of a kernel's names, never
/// the target of a relocation.
fn is_code(kind: u8) -> bool {
    matches!(kind, 12 | 14 | 15 | 17 | 18)
}

impl NameIndex {
    fn build(btf: &Btf, code: bool) -> Self {
        let (section, offsets, big) = (btf.type_section(), btf.offsets(), btf.is_big_endian());
        let (strings, first_string) = (btf.string_section(), btf.first_string());
        // Flavours are rare: with their places known, no other name is searched for one.
        let flavours: Vec<usize> = memmem::find_iter(strings, b"___").collect();
        let slots = (offsets.len() / 2).next_power_of_two();
        let mut heads = vec![END; slots];
        let mut next = vec![END; offsets.len()];
        for (index, &at) in offsets.iter().enumerate().rev() {
            let at = at as usize;
            let Some(name_off) = u32_at(section, at, big).filter(|&off| off != 0) else {
                continue;
            };
            let kind = u32_at(section, at + 4, big).map_or(0, |info| (info >> 24) as u8 & 0x7f);
            if is_code(kind) != code {
                continue;
            }
            let own = name_off
                .checked_sub(first_string)
                .and_then(|from| strings.get(from as usize..));
            let hash = match own.and_then(hash_string) {
                Some((hash, len)) => {
                    let from = (name_off - first_string) as usize;
                    let flavour = flavours.get(flavours.partition_point(|&place| place < from));
                    if flavour.is_some_and(|&place| place < from + len) {
                        self::hash(essential_name(btf.cut_at(name_off)))
                    } else {
                        hash
                    }
                }
                None => self::hash(essential_name(btf.cut_at(name_off))),
            };
            let slot = hash as usize & (slots - 1);
            if let (Some(head), Some(link)) = (heads.get_mut(slot), next.get_mut(index)) {
                *link = std::mem::replace(head, index as u32);
            }
        }
        Self { heads, next }
    }

    /// Indices of own types whose essential name may be this one: compare before use.
    fn chain(&self, essential: &[u8]) -> impl Iterator<Item = u32> + '_ {
        let slot = hash(essential) as usize & self.heads.len().wrapping_sub(1);
        let first = self.heads.get(slot).copied().unwrap_or(END);
        std::iter::successors(Some(first), |&at| self.next.get(at as usize).copied())
            .take_while(|&at| at != END)
    }
}

impl Btf {
    fn name_index(&self, code: bool) -> &NameIndex {
        let cell = if code { &self.code_names } else { &self.names };
        cell.get_or_init(|| NameIndex::build(self, code))
    }

    /// The first type with this exact name, of `kind` if given, in id order (the base's first).
    #[must_use]
    pub fn find(&self, name: &[u8], kind: Option<Kind>) -> Option<u32> {
        if let Some(id) = self.base().and_then(|base| base.find(name, kind)) {
            return Some(id);
        }
        self.find_own(name, kind, true).first().copied()
    }

    /// Every type with this exact name, of `kind` if given, in id order.
    #[must_use]
    pub fn find_all(&self, name: &[u8], kind: Option<Kind>) -> Vec<u32> {
        let mut ids = self
            .base()
            .map(|base| base.find_all(name, kind))
            .unwrap_or_default();
        ids.extend(self.find_own(name, kind, false));
        ids
    }

    fn find_own(&self, name: &[u8], kind: Option<Kind>, first_only: bool) -> Vec<u32> {
        use std::sync::atomic::Ordering::Relaxed;
        if name.is_empty() || name.contains(&0) {
            return Vec::new();
        }
        let fits = |ty: &Type<'_>| kind.is_none_or(|kind| ty.kind() == kind);
        let limit = if first_only { 1 } else { usize::MAX };
        let sides: &[bool] = match kind {
            Some(kind) if is_code(kind.number()) => &[true],
            Some(_) => &[false],
            None => &[false, true],
        };
        let indexed = self.names.get().is_some() || self.code_names.get().is_some();
        if !indexed && self.single_lookups.fetch_add(1, Relaxed) < SCANS {
            return self
                .scan(name)
                .filter(fits)
                .take(limit)
                .map(|ty| ty.id())
                .collect();
        }
        let mut ids = Vec::new();
        for &code in sides {
            let found = self
                .name_index(code)
                .chain(key(name))
                .filter_map(|index| self.get(self.first_id() + index))
                .filter(|ty| fits(ty) && self.string_is(ty.name_off(), name));
            ids.extend(found.take(limit).map(|ty| ty.id()));
        }
        ids.sort_unstable();
        ids.truncate(limit);
        ids
    }

    /// Own types with the name, without an index: first where the name stands in the strings, then who points there.
    fn scan<'a>(&'a self, name: &[u8]) -> impl Iterator<Item = Type<'a>> + 'a {
        let places = self.places_of(name);
        let (section, big) = (self.type_section(), self.is_big_endian());
        let types = if places.is_empty() {
            &[]
        } else {
            self.offsets()
        };
        let filter = Filter::new(&places);
        (self.first_id()..).zip(types).filter_map(move |(id, &at)| {
            let name_off = u32_at(section, at as usize, big)?;
            (filter.may_have(name_off) && places.binary_search(&name_off).is_ok())
                .then(|| self.get(id))?
        })
    }

    /// String offsets where the name stands, the ends of longer strings included: writers may share those.
    fn places_of(&self, name: &[u8]) -> Vec<u32> {
        let mut needle = name.to_vec();
        needle.push(0);
        let own = memmem::find_iter(self.string_section(), &needle)
            .map(|at| self.first_string() + at as u32);
        match self.base() {
            Some(base) => {
                let mut places = base.places_of(name);
                places.extend(own);
                places
            }
            None => own.collect(),
        }
    }

    /// Calls `each` for own types of the essential name, in id order, until it answers false. Code is left out.
    pub(crate) fn for_essential(&self, essential: &[u8], mut each: impl FnMut(Type<'_>) -> bool) {
        for index in self.name_index(false).chain(essential) {
            let Some(ty) = self.get(self.first_id() + index) else {
                continue;
            };
            if essential_name(ty.cut_name()) == essential && !each(ty) {
                return;
            }
        }
    }
}

/// A small bit set that turns away nearly every offset not looked for.
struct Filter([u64; 16]);

impl Filter {
    fn new(places: &[u32]) -> Self {
        let mut bits = [0_u64; 16];
        for &place in places {
            if let Some(word) = bits.get_mut((place >> 6 & 15) as usize) {
                *word |= 1 << (place & 63);
            }
        }
        Self(bits)
    }

    #[inline]
    fn may_have(&self, place: u32) -> bool {
        self.0
            .get((place >> 6 & 15) as usize)
            .is_some_and(|word| word >> (place & 63) & 1 != 0)
    }
}
