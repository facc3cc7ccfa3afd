//! Makes a BTF one that kernels take: what `kernel/bpf/btf.c` refuses is mended, with the same ids.
//!
//! Clang's output passes through unchanged. What rustc and `bpf-linker` write often does not pass the kernel as it is:
//! generics in names (`Option<u8>`), pointers and prototypes with names, fields out of order, values of size 0,
//! parameters without names. A member, variable or tag that cannot stay is left out, never the rest of its type.
use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;

use crate::lacking::{opaque, replace};
use crate::{Btf, Draft, Kind, Lacking};

/// `KSYM_NAME_LEN` before Linux 6.1, its NUL included: longer names are cut where they are mended anyway.
const SHORT: usize = 128;
/// `KSYM_NAME_LEN` since, and the most the kernel looks at.
pub(crate) const LONG: usize = 512;

/// Mends a draft of `btf`; `btf` answers for sizes.
pub fn mend(draft: &mut Draft, btf: &Btf, lacking: Lacking) {
    let mut mender = Mender {
        longest: if lacking.long_names { SHORT } else { LONG },
        draft,
        btf,
        names: HashMap::new(),
        byte: None,
        moved: HashMap::new(),
        named: HashSet::new(),
    };
    let end = mender.draft.len();
    for id in 1..end {
        mender.one(id);
    }
    // Tags last: they count the members and parameters that are left.
    for id in 1..end {
        if mender.draft.kind(id) == Kind::DeclTag {
            mender.tag(id);
        }
    }
    replace(draft, lacking);
}

struct Mender<'a> {
    draft: &'a mut Draft,
    btf: &'a Btf,
    /// Bytes of the longest name, and one.
    longest: usize,
    /// Name that no kernel takes -> its replacement.
    names: HashMap<u32, u32>,
    /// A one-byte integer, made when needed.
    byte: Option<u32>,
    /// Structs whose members changed places: old index -> new one.
    moved: HashMap<u32, Vec<Option<u32>>>,
    /// Prototypes of functions, whose parameters have names.
    named: HashSet<u32>,
}

fn is_identifier(name: &[u8]) -> bool {
    let other = |c: &u8| matches!(c, b'_' | b'.');
    name.first()
        .is_some_and(|c| c.is_ascii_alphabetic() || other(c))
        && name.iter().all(|c| c.is_ascii_alphanumeric() || other(c))
}

/// `bpf-linker`'s spelling: what C has no letter for becomes its number. A long one ends in a hash of the whole.
fn identifier(name: &[u8]) -> Vec<u8> {
    let mut out = String::with_capacity(name.len() + 16);
    for c in String::from_utf8_lossy(name).chars() {
        if c.is_ascii_alphanumeric() || c == '_' {
            out.push(c);
        } else {
            let _ = write!(out, "_{:X}_", u32::from(c));
        }
    }
    if out.starts_with(|c: char| c.is_ascii_digit()) {
        out.insert(0, '_');
    }
    if out.len() >= SHORT {
        // FNV-1a: the same on every machine.
        let hash = name.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        });
        out.truncate(SHORT - 1 - 17);
        let _ = write!(out, "_{hash:016x}");
    }
    out.into_bytes()
}

impl Mender<'_> {
    /// A name the kernel takes for this one; `needed` when it must not be empty.
    fn name(&mut self, offset: u32, needed: bool) -> u32 {
        if let Some(&known) = self.names.get(&offset) {
            return known;
        }
        let text = self.draft.string(offset, self.longest).unwrap_or_default();
        if text.is_empty() {
            return match needed {
                true => self.draft.add_string(b"unnamed"),
                false => 0,
            };
        }
        if text.len() < self.longest && is_identifier(text) {
            return offset;
        }
        let whole = self.draft.string(offset, 1024).unwrap_or_default();
        let mended = identifier(whole);
        let mended = self.draft.add_string(&mended);
        self.names.insert(offset, mended);
        mended
    }

    fn rename(&mut self, id: u32, needed: bool) {
        let old = self.draft.name_off(id);
        let new = self.name(old, needed);
        if new != old {
            self.draft.set_name_off(id, new);
        }
    }

    fn unname(&mut self, id: u32) {
        if self.draft.name_off(id) != 0 {
            self.draft.set_name_off(id, 0);
        }
    }

    /// An INT of one byte.
    fn byte(&mut self) -> u32 {
        match self.byte {
            Some(id) => id,
            None => {
                let id = self.draft.add_int(b"opaque", 1);
                self.byte = Some(id);
                id
            }
        }
    }

    /// Bytes of a type a member, parameter or element may have.
    fn size(&self, id: u32) -> Option<u32> {
        match self.draft.kind(id) {
            Kind::Void | Kind::Var | Kind::Datasec | Kind::DeclTag => None,
            _ if id < self.btf.len() => self.btf.size_of(id),
            _ => Some(self.draft.of(id)),
        }
    }

    fn clear_flag(&mut self, id: u32) {
        if self.draft.flag(id) {
            let (kind, vlen) = (self.draft.kind(id), self.draft.vlen(id));
            self.draft.set_info(id, kind, false, vlen);
        }
    }

    fn one(&mut self, id: u32) {
        match self.draft.kind(id) {
            Kind::Void | Kind::DeclTag => {}
            Kind::Int => self.int(id),
            Kind::Float => self.float(id),
            Kind::Array => self.array(id),
            Kind::Struct | Kind::Union => self.composite(id),
            Kind::Enum | Kind::Enum64 => self.enumeration(id),
            Kind::Fwd => {
                self.rename(id, true);
                self.draft.set_of(id, 0);
            }
            Kind::Ptr | Kind::Const | Kind::Volatile | Kind::Restrict => {
                self.unname(id);
                self.clear_flag(id);
                self.pointed(id);
            }
            Kind::Typedef => {
                self.rename(id, true);
                self.clear_flag(id);
                self.pointed(id);
            }
            Kind::TypeTag => {
                let name = self.draft.name_off(id);
                if self.draft.string(name, 1).is_none_or(<[u8]>::is_empty) {
                    self.draft.set_name_off(id, 0);
                    self.draft.set_info(id, Kind::Const, false, 0);
                }
                self.pointed(id);
            }
            Kind::Func => self.function(id),
            Kind::FuncProto => self.prototype(id),
            Kind::Var => self.variable(id),
            Kind::Datasec => self.section(id),
        }
    }

    /// What pointers and qualifiers may refer to: anything that is a type.
    fn pointed(&mut self, id: u32) {
        let of = self.draft.of(id);
        let ok = match self.draft.kind(of) {
            Kind::Void => of == 0,
            Kind::Var | Kind::Datasec | Kind::DeclTag | Kind::Func => false,
            _ => true,
        };
        if !ok {
            self.draft.set_of(id, 0);
        }
    }

    fn int(&mut self, id: u32) {
        self.clear_flag(id);
        let (size, word) = (self.draft.of(id), self.draft.word(id, 3));
        let (encoding, offset, bits) = (word >> 24 & 0x0f, word >> 16 & 0xff, word & 0xff);
        let room = size.saturating_mul(8).min(128);
        let encoding = if encoding.count_ones() > 1 {
            encoding & 1
        } else {
            encoding & 7
        };
        let (offset, bits) = match offset + bits <= room {
            true => (offset, bits),
            false => (0, bits.min(room)),
        };
        let mended = encoding << 24 | offset << 16 | bits;
        if mended != word {
            self.draft.set_word(id, 3, mended);
        }
    }

    fn float(&mut self, id: u32) {
        if !matches!(self.draft.of(id), 2 | 4 | 8 | 12 | 16) {
            self.draft.set_name_off(id, 0);
            self.draft.set_info(id, Kind::Struct, false, 0);
        }
    }

    /// An INT that arrays may consist of.
    fn is_regular(&self, id: u32) -> bool {
        match self.btf.resolve_modifiers(id) {
            Some(ty) => ty
                .int()
                .is_none_or(|int| int.offset == 0 && matches!(int.bits, 8 | 16 | 32 | 64 | 128)),
            None => id >= self.btf.len(),
        }
    }

    fn array(&mut self, id: u32) {
        self.unname(id);
        let [element, index] = [self.draft.word(id, 3), self.draft.word(id, 4)];
        if self.draft.of(id) != 0 {
            self.draft.set_of(id, 0);
        }
        let is_int = |id: u32| {
            let ty = self.btf.resolve_modifiers(id);
            ty.is_some_and(|ty| ty.kind() == Kind::Int)
        };
        if !is_int(index) || !self.is_regular(index) {
            let byte = self.byte();
            self.draft.set_word(id, 4, byte);
        }
        if self.size(element).is_none() || !self.is_regular(element) {
            let whole = self.btf.size_of(id).unwrap_or(0);
            let byte = self.byte();
            self.draft.set_word(id, 3, byte);
            self.draft.set_word(id, 5, whole);
        } else if id < self.btf.len() && self.btf.size_of(id).is_none() {
            self.draft.set_word(id, 5, 0); // over 4 GiB
        }
    }

    fn composite(&mut self, id: u32) {
        self.rename(id, false);
        let members = self.draft.elements::<3>(id);
        let (flag, size) = (self.draft.flag(id), self.draft.of(id));
        let union = self.draft.kind(id) == Kind::Union;
        let at = |word: u32| if flag { word & 0x00ff_ffff } else { word };
        let mut left: Vec<(u32, [u32; 3])> = Vec::with_capacity(members.len());
        let (mut changed, mut ordered, mut last) = (false, true, 0);
        for (index, mut member) in members.iter().copied().enumerate() {
            let [name_off, type_id, place] = member;
            if left.len() > usize::from(u16::MAX) - 1
                || !self.member_fits(type_id, place, flag, union, size)
            {
                changed = true;
                continue;
            }
            let name = self.name(name_off, false);
            changed |= name != name_off;
            member = [name, type_id, place];
            ordered &= at(place) >= last;
            last = at(place);
            left.push((index as u32, member));
        }
        if !ordered {
            left.sort_by_key(|(_, member)| at(member[2]));
            changed = true;
        }
        if changed {
            let mut moved = vec![None; members.len()];
            for (new, (old, _)) in left.iter().enumerate() {
                if let Some(place) = moved.get_mut(*old as usize) {
                    *place = Some(new as u32);
                }
            }
            self.moved.insert(id, moved);
            let left: Vec<[u32; 3]> = left.into_iter().map(|(_, member)| member).collect();
            self.draft.set_elements(id, &left);
        }
    }

    /// True when the kernel takes a member of this type at this place of a struct or union of `size` bytes.
    fn member_fits(&self, type_id: u32, place: u32, flag: bool, union: bool, size: u32) -> bool {
        let Some(bytes) = self.size(type_id) else {
            return false;
        };
        let (bit, width) = if flag {
            (place & 0x00ff_ffff, place >> 24)
        } else {
            (place, 0)
        };
        if union && bit != 0 {
            return false;
        }
        let Some(ty) = self.btf.resolve_modifiers(type_id) else {
            return false;
        };
        let room = u64::from(size) * 8;
        let (bit, bits) = (u64::from(bit), u64::from(bytes) * 8);
        match ty.kind() {
            Kind::Int => {
                let int = ty.int();
                let (offset, own) =
                    int.map_or((0, 0), |i| (u64::from(i.offset), u64::from(i.bits)));
                let regular = offset == 0 && matches!(own, 8 | 16 | 32 | 64 | 128);
                let used = if width == 0 { own } else { u64::from(width) };
                let fits = used <= own
                    && bit % 8 + used <= 128
                    && (bit + offset + used).next_multiple_of(8) <= room;
                fits && (!flag || regular && (width != 0 || bit % 8 == 0))
            }
            Kind::Enum | Kind::Enum64 if flag && width != 0 => {
                u64::from(width) <= bits && bit + u64::from(width) <= room
            }
            Kind::Float => {
                let align = bits.clamp(8, 64);
                width == 0 && bit % align == 0 && bit + bits <= room
            }
            _ => width == 0 && bit % 8 == 0 && bit + bits <= room,
        }
    }

    fn enumeration(&mut self, id: u32) {
        self.rename(id, false);
        let size = self.draft.of(id);
        if !size.is_power_of_two() || size > 8 {
            self.draft.set_of(id, if size > 4 { 8 } else { 4 });
        }
        let width = if self.draft.kind(id) == Kind::Enum {
            2
        } else {
            3
        };
        let vlen = self.draft.vlen(id).min(u32::from(u16::MAX));
        if vlen != self.draft.vlen(id) {
            let (kind, flag) = (self.draft.kind(id), self.draft.flag(id));
            self.draft.set_info(id, kind, flag, vlen);
        }
        for index in 0..vlen {
            let old = self.draft.part(id, index, width, 0);
            let new = self.name(old, true);
            if new != old {
                self.draft.set_part(id, index, width, 0, new);
            }
        }
    }

    fn function(&mut self, id: u32) {
        self.rename(id, true);
        let linkage = self.draft.vlen(id);
        if linkage > 1 || self.draft.flag(id) {
            self.draft.set_info(id, Kind::Func, false, linkage.min(1));
        }
        let proto = self.draft.of(id);
        if self.draft.kind(proto) != Kind::FuncProto {
            let empty = self.draft.add(b"", Kind::FuncProto, 0, 0, &[]);
            self.draft.set_of(id, empty);
            return;
        }
        if !self.named.insert(proto) {
            return;
        }
        for index in 0..self.draft.vlen(proto) {
            let [name, of] = [0, 1].map(|part| self.draft.part(proto, index, 2, part));
            let vararg = of == 0 && name == 0 && index + 1 == self.draft.vlen(proto);
            if !vararg && self.draft.string(name, 1).is_none_or(<[u8]>::is_empty) {
                let name = self
                    .draft
                    .add_string(format!("arg{}", index + 1).as_bytes());
                self.draft.set_part(proto, index, 2, 0, name);
            }
        }
    }

    fn prototype(&mut self, id: u32) {
        self.unname(id);
        self.clear_flag(id);
        let of = self.draft.of(id);
        if of != 0 && self.size(of).is_none() {
            self.draft.set_of(id, 0);
        }
        let vlen = self.draft.vlen(id);
        for index in 0..vlen {
            let [old, of] = [0, 1].map(|part| self.draft.part(id, index, 2, part));
            let vararg = of == 0 && old == 0 && index + 1 == vlen;
            if vararg {
                continue;
            }
            let new = self.name(old, false);
            if new != old {
                self.draft.set_part(id, index, 2, 0, new);
            }
            if self.size(of).is_none() {
                let byte = self.byte();
                self.draft.set_part(id, index, 2, 1, byte);
            }
        }
    }

    fn variable(&mut self, id: u32) {
        self.rename(id, true);
        self.clear_flag(id);
        if self.draft.linkage(id) > 1 {
            self.draft.set_linkage(id, 1);
        }
        if self.size(self.draft.of(id)).is_none() {
            let byte = self.byte();
            self.draft.set_of(id, byte);
        }
    }

    fn section(&mut self, id: u32) {
        self.clear_flag(id);
        let size = self.draft.of(id);
        let mut vars = self.draft.elements::<3>(id);
        if !vars.is_sorted_by_key(|[_, offset, _]| *offset) {
            vars.sort_by_key(|[_, offset, _]| *offset);
            self.draft.set_elements(id, &vars);
        }
        let count = vars.len();
        let mut end = 0_u64;
        vars.retain(|[var, offset, bytes]| {
            let (from, to) = (u64::from(*offset), u64::from(*offset) + u64::from(*bytes));
            let needed = match self.draft.kind(*var) {
                Kind::Var => self.size(self.draft.of(*var)).unwrap_or(1),
                _ => return false,
            };
            let fits = *bytes != 0 && needed <= *bytes && from >= end && to <= u64::from(size);
            if fits {
                end = to;
            }
            fits
        });
        let name = self.draft.name_off(id);
        let text = self.draft.string(name, LONG).unwrap_or_default();
        let printable = |c: &u8| (b' '..=b'~').contains(c);
        if size == 0 || text.is_empty() || text.len() >= LONG || !text.iter().all(printable) {
            return self.opaque(id);
        }
        if vars.len() != count {
            self.draft.set_elements(id, &vars);
        }
    }

    /// A type nothing needs becomes an INT of one byte, as libbpf does with the kinds a kernel lacks.
    fn opaque(&mut self, id: u32) {
        opaque(self.draft, id);
    }

    fn tag(&mut self, id: u32) {
        let name = self.draft.name_off(id);
        let (of, component) = (self.draft.of(id), self.draft.word(id, 3) as i32);
        let count = match self.draft.kind(of) {
            Kind::Var | Kind::Typedef => 0,
            Kind::Struct | Kind::Union => self.draft.vlen(of),
            Kind::Func => self.draft.vlen(self.draft.of(of)),
            _ => return self.opaque(id),
        };
        let named = self
            .draft
            .string(name, 1)
            .is_some_and(|text| !text.is_empty());
        let component = match (component, self.moved.get(&of)) {
            (0.., Some(moved)) => {
                let new = moved.get(component as usize).copied().flatten();
                new.map_or(-2, |new| new as i32)
            }
            _ => component,
        };
        if !named || component < -1 || component >= 0 && component as u32 >= count {
            return self.opaque(id);
        }
        self.draft.set_word(id, 3, component as u32);
    }
}
