//! The number a relocation stands for, on the local and on the target side.
use super::spec::strip_arrays;
use super::{ReloKind, Spec};
use crate::{Btf, Error, Kind, Result, Type};

/// What to write into the instruction, and what must have been there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Value {
    pub orig: u64,
    pub new: u64,
    /// The instruction cannot be relocated: it becomes a call that no verifier accepts.
    pub poison: bool,
    /// The instruction must hold `orig` now.
    pub validate: bool,
    /// Loads and stores of the field would be wrong at another size.
    pub fail_memsz_adjust: bool,
    /// Bytes of the field, 0 when no load or store may be resized.
    pub orig_size: u32,
    pub new_size: u32,
}

/// One side's answer.
#[derive(Default)]
struct Side {
    value: u64,
    field_size: u32,
    type_id: u32,
    validate: bool,
}

/// A side, or: the instruction is to be poisoned.
type Answer = Option<Side>;

/// The values for a local spec and the target spec it matched, if any.
pub(crate) fn value(local: (&Btf, &Spec), target: Option<(&Btf, &Spec)>) -> Result<Value> {
    let kind = local.1.kind;
    let big = local.0.is_big_endian();
    let (ours, theirs) = if kind.is_field() {
        (field(Some(local), kind, big)?, field(target, kind, big)?)
    } else if kind.is_type() {
        (type_value(Some(local), kind)?, type_value(target, kind)?)
    } else {
        (enumerator(Some(local), kind), enumerator(target, kind))
    };
    let mut out = Value {
        validate: true,
        ..Value::default()
    };
    let Some(ours) = ours else {
        return Ok(Value {
            poison: true,
            ..out
        });
    };
    (out.orig, out.orig_size) = (ours.value, ours.field_size);
    out.validate = ours.validate;
    let Some(theirs) = theirs else {
        return Ok(Value {
            poison: true,
            ..out
        });
    };
    (out.new, out.new_size) = (theirs.value, theirs.field_size);
    if out.orig_size != out.new_size {
        let types = (
            local.0.get(ours.type_id),
            target.and_then(|(btf, _)| btf.get(theirs.type_id)),
        );
        out.fail_memsz_adjust = !matches!(types, (Some(a), Some(b)) if resizable(a, b));
    }
    Ok(out)
}

/// Only pointers and unsigned integers keep their value when read at another size.
fn resizable(a: Type<'_>, b: Type<'_>) -> bool {
    let unsigned = |ty: Type<'_>| {
        ty.int()
            .is_some_and(|int| int.encoding != crate::Int::SIGNED)
    };
    (a.kind() == Kind::Ptr && b.kind() == Kind::Ptr) || (unsigned(a) && unsigned(b))
}

fn fail<T>(message: impl Into<String>) -> Result<T> {
    Err(Error::new(message, "CO-RE relocation"))
}

fn size_of(btf: &Btf, id: u32) -> Result<u32> {
    match btf.size_of(id) {
        Some(size) => Ok(size),
        None => fail(format!("type {id} has no size")),
    }
}

/// Bytes of the element a load reads: arrays count by their element.
fn load_size(btf: &Btf, id: u32) -> Result<u32> {
    match strip_arrays(btf, id) {
        Some(ty) => size_of(btf, ty.id()),
        None => fail(format!("type {id} has no size")),
    }
}

fn field(side: Option<(&Btf, &Spec)>, kind: ReloKind, big: bool) -> Result<Answer> {
    if kind == ReloKind::FieldExists {
        return Ok(Some(Side {
            value: u64::from(side.is_some()),
            validate: true,
            ..Side::default()
        }));
    }
    let Some((btf, spec)) = side else {
        return Ok(None);
    };
    let Some(last) = spec.accessors.last() else {
        return fail("an empty field access");
    };
    if !last.named {
        let mut side = Side {
            validate: true,
            ..Side::default()
        };
        match kind {
            ReloKind::FieldByteOffset => {
                side.value = u64::from(spec.bit_offset / 8);
                side.field_size = load_size(btf, last.type_id)?;
                side.type_id = last.type_id;
            }
            ReloKind::FieldByteSize => side.value = u64::from(size_of(btf, last.type_id)?),
            _ => {
                return fail(format!(
                    "`{}` cannot be asked of an array element",
                    kind.word()
                ));
            }
        }
        return Ok(Some(side));
    }
    let Some((member, ty)) = last
        .member(btf)
        .and_then(|member| Some((member, btf.resolve_modifiers(member.type_id)?)))
    else {
        return fail("the field's type does not exist");
    };
    let bitfield = member.bitfield_size > 0;
    let bit_off = spec.bit_offset;
    let (byte_off, byte_size, bits) = if bitfield {
        let (off, size) = bitfield_load(bit_off, member.bitfield_size, ty.raw_size_or_type())?;
        (off, size, member.bitfield_size)
    } else {
        let size = size_of(btf, ty.id())?;
        (bit_off / 8, size, size.wrapping_mul(8))
    };
    // What a compiler makes of a bit field's place is its own choice, so it is not held against the instruction.
    let mut side = Side {
        validate: !bitfield,
        ..Side::default()
    };
    match kind {
        ReloKind::FieldByteOffset => {
            side.value = u64::from(byte_off);
            if !bitfield {
                side.field_size = load_size(btf, ty.id())?;
                side.type_id = ty.id();
            }
        }
        ReloKind::FieldByteSize => side.value = u64::from(byte_size),
        ReloKind::FieldSigned => {
            let signed_enum = ty.kind().is_enum() && ty.kind_flag();
            side.value = u64::from(signed_enum || ty.int().is_some_and(crate::Int::is_signed));
            side.validate = true;
        }
        ReloKind::FieldLshiftU64 => {
            let inside = bit_off.wrapping_sub(byte_off.wrapping_mul(8));
            // 32-bit arithmetic, then widened: libbpf's own.
            side.value = u64::from(if big {
                8_u32
                    .wrapping_sub(byte_size)
                    .wrapping_mul(8)
                    .wrapping_add(inside)
            } else {
                64_u32.wrapping_sub(inside.wrapping_add(bits))
            });
        }
        ReloKind::FieldRshiftU64 => {
            side.value = u64::from(64_u32.wrapping_sub(bits));
            side.validate = true;
        }
        _ => return fail(format!("`{}` is not asked of a field", kind.word())),
    }
    Ok(Some(side))
}

/// (byte offset, bytes) of the smallest aligned integer that covers the bits, from the declared type upwards.
fn bitfield_load(bit_off: u32, bits: u32, declared: u32) -> Result<(u32, u32)> {
    let mut size = declared;
    loop {
        let Some(unit) = (bit_off / 8).checked_div(size) else {
            return fail("a bit field of a type without size");
        };
        let byte_off = unit * size;
        let end = u64::from(bit_off) + u64::from(bits) - u64::from(byte_off) * 8;
        if end <= u64::from(size) * 8 {
            return Ok((byte_off, size));
        }
        if size >= 8 {
            return fail("a bit field that no 64-bit load covers");
        }
        size *= 2;
    }
}

fn type_value(side: Option<(&Btf, &Spec)>, kind: ReloKind) -> Result<Answer> {
    let mut out = Side {
        validate: true,
        ..Side::default()
    };
    let Some((btf, spec)) = side else {
        return Ok(Some(out)); // A missing type is 0: not there, no size, no id.
    };
    match kind {
        ReloKind::TypeIdTarget => {
            out.value = u64::from(spec.root);
            out.validate = false; // Linking renumbers types without touching instructions.
        }
        ReloKind::TypeExists | ReloKind::TypeMatches => out.value = 1,
        ReloKind::TypeSize => out.value = u64::from(size_of(btf, spec.root)?),
        _ => return fail(format!("`{}` is not asked of a type", kind.word())),
    }
    Ok(Some(out))
}

fn enumerator(side: Option<(&Btf, &Spec)>, kind: ReloKind) -> Answer {
    let value = if kind == ReloKind::EnumvalExists {
        u64::from(side.is_some())
    } else {
        let (btf, spec) = side?;
        let accessor = spec.accessors.first()?;
        let found = accessor.enumerator(btf)?.value;
        match btf.get(accessor.type_id)?.kind() {
            // Sign-extended whatever the enum's own sign: libbpf reads a signed 32-bit value.
            Kind::Enum => i64::from(found as u32 as i32) as u64,
            _ => found,
        }
    };
    Some(Side {
        value,
        validate: true,
        ..Side::default()
    })
}
