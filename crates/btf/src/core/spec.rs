//! Access strings: what `0:1:2` means for a type, level by level.
use std::fmt::Write as _;

use super::ReloKind;
use crate::{Array, Btf, Error, Kind, Result, Type};

/// libbpf's limit on the levels of one access string.
pub(crate) const MAX_LEVELS: usize = 64;

/// A turning point of an access: a named member, an array element, or the enumerator asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accessor {
    /// The struct or union of a member, the element type of an array access.
    pub type_id: u32,
    pub index: i32,
    /// False for an array element.
    pub named: bool,
}

/// A resolved access into one BTF's type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    pub kind: ReloKind,
    pub root: u32,
    /// Named members and array elements only.
    pub accessors: Vec<Accessor>,
    /// Every level, anonymous members included: the access string.
    pub raw: Vec<i32>,
    /// From the start of the root type; for enumerators and types 0.
    pub bit_offset: u32,
}

impl Spec {
    pub(crate) fn new(kind: ReloKind, root: u32) -> Self {
        Self {
            kind,
            root,
            accessors: Vec::new(),
            raw: Vec::new(),
            bit_offset: 0,
        }
    }

    /// Reads a local relocation: its type and access string.
    ///
    /// # Errors
    /// What libbpf refuses too: an access string that is malformed or does not fit the type.
    pub(crate) fn parse(btf: &Btf, kind: ReloKind, type_id: u32, access: &[u8]) -> Result<Self> {
        let fail = |message: String| {
            let shown = String::from_utf8_lossy(access);
            Err(Error::new(
                message,
                format!("CO-RE access `{shown}` of type {type_id}"),
            ))
        };
        let mut spec = Self::new(kind, type_id);
        if kind.is_type() {
            return if access == b"0" {
                Ok(spec)
            } else {
                fail("a type relocation has the access string `0`".into())
            };
        }
        for part in access.split(|&byte| byte == b':') {
            let number = std::str::from_utf8(part)
                .ok()
                .and_then(|text| text.parse::<i32>().ok());
            let Some(number) = number else {
                return fail("not a list of numbers".into());
            };
            if spec.raw.len() == MAX_LEVELS {
                return fail(format!("more than {MAX_LEVELS} levels"));
            }
            spec.raw.push(number);
        }
        let Some(root) = btf.resolve_modifiers(type_id) else {
            return fail("the type does not exist".into());
        };
        let first = spec.raw.first().copied().unwrap_or_default();
        spec.accessors.push(Accessor {
            type_id: root.id(),
            index: first,
            named: kind.is_enumval(),
        });
        if kind.is_enumval() {
            let known = root.kind().is_enum()
                && u32::try_from(first).is_ok_and(|index| index < root.vlen());
            return if known && spec.raw.len() == 1 {
                Ok(spec)
            } else {
                fail("names no enumerator".into())
            };
        }
        spec.step_elements(btf, root.id(), first)?;
        let mut id = root.id();
        for level in 1..spec.raw.len() {
            let index = spec.raw.get(level).copied().unwrap_or_default();
            let Some(ty) = btf.resolve_modifiers(id) else {
                return fail(format!(
                    "level {level} meets type {id}, which does not exist"
                ));
            };
            if ty.kind().is_composite() {
                let Some(member) = u32::try_from(index).ok().and_then(|index| ty.member(index))
                else {
                    return fail(format!(
                        "level {level}: type {} has no member {index}",
                        ty.id()
                    ));
                };
                spec.bit_offset = spec.bit_offset.wrapping_add(member.bit_offset);
                if member.name_off != 0 {
                    if member.cut_name().is_empty() {
                        return fail(format!(
                            "level {level}: member {index} of type {} has a bad name",
                            ty.id()
                        ));
                    }
                    spec.accessors.push(Accessor {
                        type_id: ty.id(),
                        index,
                        named: true,
                    });
                }
                id = member.type_id;
            } else if let Some(array) = ty.array() {
                let Some(element) = btf.resolve_modifiers(array.element) else {
                    return fail(format!(
                        "level {level}: the element type {} does not exist",
                        array.element
                    ));
                };
                if index as u32 >= array.count && !is_flexible(btf, spec.accessors.last(), array) {
                    return fail(format!(
                        "level {level}: element {index} of an array of {}",
                        array.count
                    ));
                }
                spec.accessors.push(Accessor {
                    type_id: element.id(),
                    index,
                    named: false,
                });
                id = element.id();
                spec.step_elements(btf, id, index)?;
            } else {
                return fail(format!(
                    "level {level} meets type {}, a {}",
                    ty.id(),
                    ty.kind().lower()
                ));
            }
        }
        Ok(spec)
    }

    /// Adds `index` elements of type `id` to the offset; 32-bit arithmetic wraps, as libbpf's does.
    pub(crate) fn step_elements(&mut self, btf: &Btf, id: u32, index: i32) -> Result<()> {
        let Some(size) = btf.size_of(id) else {
            return Err(Error::new(
                format!("type {id} has no size"),
                "CO-RE relocation",
            ));
        };
        let bits = (index as u32).wrapping_mul(size).wrapping_mul(8);
        self.bit_offset = self.bit_offset.wrapping_add(bits);
        Ok(())
    }

    /// The access in libbpf's words: `<byte_off> [7] struct task_struct.pid (0:5 @ offset 1234)`.
    #[must_use]
    pub fn text(&self, btf: &Btf) -> String {
        let mut out = format!("<{}> [{}] {}", self.kind.word(), self.root, self.short(btf));
        if !self.kind.is_field() {
            return out;
        }
        let raw: Vec<String> = self.raw.iter().map(ToString::to_string).collect();
        let _ = write!(out, " ({} @ offset {}", raw.join(":"), self.bit_offset / 8);
        if !self.bit_offset.is_multiple_of(8) {
            let _ = write!(out, ".{}", self.bit_offset % 8);
        }
        out.push(')');
        out
    }

    /// What is accessed, for a person: `struct task_struct.pid`, `enum bpf_cmd::BPF_MAP_CREATE = 0`.
    #[must_use]
    pub fn short(&self, btf: &Btf) -> String {
        let root = btf.get(self.root);
        let name = root.map(|ty| ty.name()).filter(|name| !name.is_empty());
        let kind = root.map_or("unknown", |ty| ty.kind().lower());
        let mut out = format!("{kind} {}", name.as_deref().unwrap_or("<anon>"));
        for (level, accessor) in self.accessors.iter().enumerate() {
            if self.kind.is_enumval() {
                let enumerator = accessor.enumerator(btf);
                let signed = btf.get(accessor.type_id).is_some_and(|ty| ty.kind_flag());
                let _ = match enumerator {
                    Some(it) if signed => write!(out, "::{} = {}", it.name(), it.value as i64),
                    Some(it) => write!(out, "::{} = {}", it.name(), it.value),
                    None => write!(out, "::?"),
                };
            } else if accessor.named {
                let _ = write!(
                    out,
                    ".{}",
                    String::from_utf8_lossy(accessor.member_name(btf))
                );
            } else if level > 0 || accessor.index > 0 {
                let _ = write!(out, "[{}]", accessor.index as u32);
            }
        }
        out
    }
}

impl Accessor {
    pub(crate) fn member<'a>(&self, btf: &'a Btf) -> Option<crate::Member<'a>> {
        btf.get(self.type_id)?
            .member(u32::try_from(self.index).ok()?)
    }

    pub(crate) fn member_name<'a>(&self, btf: &'a Btf) -> &'a [u8] {
        self.member(btf).map_or(&[][..], |member| member.cut_name())
    }

    pub(crate) fn enumerator<'a>(&self, btf: &'a Btf) -> Option<crate::Enumerator<'a>> {
        btf.get(self.type_id)?
            .enumerator(u32::try_from(self.index).ok()?)
    }
}

/// A zero-length array that is the last member of its struct reaches as far as one likes.
pub(crate) fn is_flexible(btf: &Btf, owner: Option<&Accessor>, array: Array) -> bool {
    let Some(owner) = owner.filter(|owner| owner.named && array.count == 0) else {
        return false;
    };
    btf.get(owner.type_id)
        .is_some_and(|ty| i64::from(owner.index) == i64::from(ty.vlen()) - 1)
}

/// Same kind, or both some enum.
pub(crate) fn kinds_fit(a: Type<'_>, b: Type<'_>) -> bool {
    a.kind() == b.kind() || (a.kind().is_enum() && b.kind().is_enum())
}

/// True for what a CO-RE access may end in without an array in between.
pub(crate) fn strip_arrays(btf: &Btf, id: u32) -> Option<Type<'_>> {
    let mut ty = btf.resolve_modifiers(id)?;
    for _ in 0..crate::layout::MAX_DEPTH {
        if ty.kind() != Kind::Array {
            return Some(ty);
        }
        ty = btf.resolve_modifiers(ty.array()?.element)?;
    }
    None
}
