//! Finding types by name: a vector search of the strings for the first few, a hash index once there are more.
use memchr::memmem;

use crate::bytes::u32_at;
use crate::core::essential_name;
use crate::{Btf, Kind, Type};

/// So many lookups are answered by scanning. One scan of a kernel's BTF takes about as long as a twentieth of
/// building the index.
const SCANS: u32 = 3;

/// Own types by the hash of their essential name (flavour cut off): heads of chains, and each type's successor.
/// Chains are in id order.
#[derive(Debug)]
pub(crate) struct NameIndex {
    heads: Vec<u32>,
    next: Vec<u32>,
}

const END: u32 = u32::MAX;

/// Eight bytes at a time through a multiplication whose halves are folded: fast on short names, well spread.
fn hash(name: &[u8]) -> u64 {
    const K: u64 = 0x9e37_79b9_7f4a_7c15;
    let fold = |a: u64, b: u64| {
        let wide = u128::from(a) * u128::from(b);
        (wide as u64) ^ (wide >> 64) as u64
    };
    let mut state = K ^ name.len() as u64;
    let (words, rest) = name.as_chunks::<8>();
    for word in words {
        state = fold(state ^ u64::from_le_bytes(*word), K);
    }
    let mut last = 0_u64;
    for &byte in rest {
        last = last << 8 | u64::from(byte);
    }
    fold(state ^ last, K.rotate_left(23))
}

impl NameIndex {
    fn build(btf: &Btf) -> Self {
        let (section, offsets, big) = (btf.type_section(), btf.offsets(), btf.is_big_endian());
        let slots = offsets.len().next_power_of_two();
        let mut heads = vec![END; slots];
        let mut next = vec![END; offsets.len()];
        for (index, &at) in offsets.iter().enumerate().rev() {
            let Some(name_off) = u32_at(section, at as usize, big).filter(|&off| off != 0) else {
                continue;
            };
            let name = btf.bytes_at(name_off).unwrap_or_default();
            if name.is_empty() {
                continue;
            }
            let slot = hash(essential_name(name)) as usize & (slots - 1);
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
    fn name_index(&self) -> &NameIndex {
        self.names.get_or_init(|| NameIndex::build(self))
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
        if self.names.get().is_none() && self.single_lookups.fetch_add(1, Relaxed) < SCANS {
            return self
                .scan(name)
                .filter(fits)
                .take(limit)
                .map(|ty| ty.id())
                .collect();
        }
        let chain = self.name_index().chain(essential_name(name));
        chain
            .filter_map(|index| self.get(self.first_id() + index))
            .filter(|ty| ty.name_bytes() == name && fits(ty))
            .take(limit)
            .map(|ty| ty.id())
            .collect()
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

    /// Calls `each` for own types of the essential name, in id order, until it answers false.
    pub(crate) fn for_essential(&self, essential: &[u8], mut each: impl FnMut(Type<'_>) -> bool) {
        for index in self.name_index().chain(essential) {
            let Some(ty) = self.get(self.first_id() + index) else {
                continue;
            };
            if essential_name(ty.name_bytes()) == essential && !each(ty) {
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
