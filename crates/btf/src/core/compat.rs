//! When a local type and a target type count as the same: three relations of libbpf, from loose to strict.
use super::spec::kinds_fit;
use super::{Budget, essential_name};
use crate::layout::MAX_DEPTH;
use crate::{Btf, Error, Kind, Result, Type};

fn too_deep() -> Error {
    Error::new(
        format!("types nest deeper than {MAX_DEPTH} levels"),
        "CO-RE relocation",
    )
}

fn dangling(id: u32) -> Error {
    Error::new(
        format!("type {id} does not exist or refers to itself"),
        "CO-RE relocation",
    )
}

fn resolved<'a>(btf: &'a Btf, id: u32, budget: &mut Budget) -> Result<Type<'a>> {
    let (ty, steps) = btf.resolve_counted(id).ok_or_else(|| dangling(id))?;
    budget.spend(steps)?;
    Ok(ty)
}

/// One side of a comparison.
#[derive(Clone, Copy)]
pub(crate) struct At<'a> {
    pub(crate) btf: &'a Btf,
    pub(crate) id: u32,
}

impl<'a> At<'a> {
    pub(crate) fn new(btf: &'a Btf, id: u32) -> Self {
        Self { btf, id }
    }

    fn to(self, id: u32) -> Self {
        Self { id, ..self }
    }

    fn resolve(self, budget: &mut Budget) -> Result<Type<'a>> {
        resolved(self.btf, self.id, budget)
    }

    fn raw(self) -> Result<Type<'a>> {
        self.btf.get(self.id).ok_or_else(|| dangling(self.id))
    }
}

/// For fields: may a load of the local field become a load of the target's? Sizes and signs do not matter,
/// pointees neither; enum names do.
pub(crate) fn fields(local: At<'_>, target: At<'_>, budget: &mut Budget) -> Result<bool> {
    let (mut local, mut target) = (local, target);
    for _ in 0..=MAX_DEPTH {
        budget.spend(1)?;
        let (a, b) = (local.resolve(budget)?, target.resolve(budget)?);
        if a.kind().is_composite() && b.kind().is_composite() {
            return Ok(true);
        }
        if !kinds_fit(a, b) {
            return Ok(false);
        }
        return Ok(match a.kind() {
            Kind::Ptr | Kind::Float => true,
            Kind::Fwd | Kind::Enum | Kind::Enum64 => {
                let (a, b) = (essential_name(a.cut_name()), essential_name(b.cut_name()));
                a.is_empty() || b.is_empty() || a == b
            }
            Kind::Int => no_int_offset(a, b),
            Kind::Array => {
                let (Some(a), Some(b)) = (a.array(), b.array()) else {
                    return Ok(false);
                };
                (local, target) = (local.to(a.element), target.to(b.element));
                continue;
            }
            _ => false,
        });
    }
    Err(too_deep())
}

/// Integers of old compilers with a bit offset inside are no match for anything.
fn no_int_offset(a: Type<'_>, b: Type<'_>) -> bool {
    let offset = |ty: Type<'_>| ty.int().map_or(0, |int| int.offset);
    offset(a) == 0 && offset(b) == 0
}

/// Whether a kernel function or variable has the type an object declares for it: how libbpf judges kfuncs and typed
/// ksyms. The ids are those of prototypes or of variables' types.
///
/// # Errors
/// Dangling type ids, or types nested without end.
pub fn types_compatible(local: &Btf, local_id: u32, target: &Btf, target_id: u32) -> Result<bool> {
    let mut budget = Budget::new(Budget::PER_RELOCATION);
    types(
        At::new(local, local_id),
        At::new(target, target_id),
        &mut budget,
    )
}

/// For `type_exists`, `type_size` and type ids: the same kind all the way down, names ignored below the root.
pub(crate) fn types(local: At<'_>, target: At<'_>, budget: &mut Budget) -> Result<bool> {
    types_at(local, target, budget, MAX_DEPTH)
}

fn types_at(local: At<'_>, target: At<'_>, budget: &mut Budget, level: u32) -> Result<bool> {
    let (mut local, mut target) = (local, target);
    if !kinds_fit(local.raw()?, target.raw()?) {
        return Ok(false);
    }
    for _ in 0..MAX_DEPTH {
        budget.spend(1)?;
        let (a, b) = (local.resolve(budget)?, target.resolve(budget)?);
        if !kinds_fit(a, b) {
            return Ok(false);
        }
        (local, target) = match a.kind() {
            Kind::Void | Kind::Struct | Kind::Union | Kind::Enum | Kind::Fwd | Kind::Enum64 => {
                return Ok(true);
            }
            Kind::Int => return Ok(no_int_offset(a, b)),
            Kind::Ptr => (
                local.to(a.raw_size_or_type()),
                target.to(b.raw_size_or_type()),
            ),
            Kind::Array => {
                let (Some(a), Some(b)) = (a.array(), b.array()) else {
                    return Ok(false);
                };
                (local.to(a.element), target.to(b.element))
            }
            Kind::FuncProto => {
                if a.vlen() != b.vlen() {
                    return Ok(false);
                }
                for (p, q) in a.params().zip(b.params()) {
                    if level == 0 {
                        return Err(too_deep());
                    }
                    // Parameters lose their names and qualifiers before their kinds are compared.
                    let (p, q) = (
                        resolved(local.btf, p.type_id, budget)?,
                        resolved(target.btf, q.type_id, budget)?,
                    );
                    if !types_at(local.to(p.id()), target.to(q.id()), budget, level - 1)? {
                        return Ok(false);
                    }
                }
                (
                    local.to(a.raw_size_or_type()),
                    target.to(b.raw_size_or_type()),
                )
            }
            _ => return Ok(false),
        };
    }
    Err(too_deep())
}

/// For `type_matches`: names, sizes, signs, members and parameters agree; behind a pointer names and kinds do.
pub(crate) fn matches(local: At<'_>, target: At<'_>, budget: &mut Budget) -> Result<bool> {
    matches_at(local, target, false, budget, MAX_DEPTH)
}

fn same_name(a: &[u8], b: &[u8]) -> bool {
    essential_name(a) == essential_name(b)
}

fn matches_at(
    local: At<'_>,
    target: At<'_>,
    mut behind_pointer: bool,
    budget: &mut Budget,
    level: u32,
) -> Result<bool> {
    let (mut local, mut target) = (local, target);
    if level == 0 {
        return Err(too_deep());
    }
    for _ in 0..MAX_DEPTH {
        budget.spend(1)?;
        let (a, b) = (local.resolve(budget)?, target.resolve(budget)?);
        if !same_name(a.cut_name(), b.cut_name()) {
            return Ok(false);
        }
        let same_kind = a.kind() == b.kind();
        (local, target) = match a.kind() {
            Kind::Void => return Ok(same_kind),
            Kind::Fwd if same_kind => return Ok(a.kind_flag() == b.kind_flag()),
            Kind::Fwd => {
                let meant = if a.kind_flag() {
                    Kind::Union
                } else {
                    Kind::Struct
                };
                return Ok(behind_pointer && b.kind() == meant);
            }
            Kind::Enum | Kind::Enum64 => return enums(a, b, budget),
            Kind::Struct | Kind::Union if behind_pointer => {
                let declared = b.kind() == Kind::Fwd && (a.kind() == Kind::Union) == b.kind_flag();
                return Ok(same_kind || declared);
            }
            _ if !same_kind => return Ok(false),
            Kind::Struct | Kind::Union => return composites(a, b, behind_pointer, budget, level),
            Kind::Int => {
                let signed = |ty: Type<'_>| ty.int().is_some_and(crate::Int::is_signed);
                return Ok(a.size() == b.size() && signed(a) == signed(b));
            }
            Kind::Ptr => {
                behind_pointer = true;
                (
                    local.to(a.raw_size_or_type()),
                    target.to(b.raw_size_or_type()),
                )
            }
            Kind::Array => {
                let (Some(a), Some(b)) = (a.array(), b.array()) else {
                    return Ok(false);
                };
                if a.count != b.count {
                    return Ok(false);
                }
                (local.to(a.element), target.to(b.element))
            }
            Kind::FuncProto => {
                if a.vlen() != b.vlen() {
                    return Ok(false);
                }
                for (p, q) in a.params().zip(b.params()) {
                    let (p, q) = (local.to(p.type_id), target.to(q.type_id));
                    if !matches_at(p, q, behind_pointer, budget, level - 1)? {
                        return Ok(false);
                    }
                }
                (
                    local.to(a.raw_size_or_type()),
                    target.to(b.raw_size_or_type()),
                )
            }
            _ => return Ok(false),
        };
    }
    Err(too_deep())
}

/// Every local enumerator has a namesake; values may differ.
fn enums(local: Type<'_>, target: Type<'_>, budget: &mut Budget) -> Result<bool> {
    if !target.kind().is_enum() || local.size() != target.size() || local.vlen() > target.vlen() {
        return Ok(false);
    }
    for wanted in local.enumerators() {
        let mut found = false;
        for offered in target.enumerators() {
            budget.spend(1)?;
            if same_name(wanted.cut_name(), offered.cut_name()) {
                found = true;
                break;
            }
        }
        if !found {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Every local member has a namesake that matches.
fn composites(
    local: Type<'_>,
    target: Type<'_>,
    behind_pointer: bool,
    budget: &mut Budget,
    level: u32,
) -> Result<bool> {
    if local.vlen() > target.vlen() {
        return Ok(false);
    }
    for wanted in local.members() {
        let mut found = false;
        for offered in target.members() {
            budget.spend(1)?;
            if !same_name(wanted.cut_name(), offered.cut_name()) {
                continue;
            }
            let (wanted, offered) = (
                At::new(local.btf(), wanted.type_id),
                At::new(target.btf(), offered.type_id),
            );
            if matches_at(wanted, offered, behind_pointer, budget, level - 1)? {
                found = true;
                break;
            }
        }
        if !found {
            return Ok(false);
        }
    }
    Ok(true)
}
