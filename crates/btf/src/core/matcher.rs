//! Matching one local access against one candidate type of the target.
use super::compat::{self, At};
use super::spec::{MAX_LEVELS, is_flexible};
use super::{Accessor, Budget, Mismatch, ReloKind, Spec, essential_name};
use crate::{Btf, Error, Kind, Result};

/// Matching one local spec against one candidate type.
pub(crate) struct Matcher<'a, 'b> {
    pub(crate) local: &'a Btf,
    pub(crate) btf: &'a Btf,
    /// Of the target, for mismatches.
    pub(crate) index: usize,
    pub(crate) root: u32,
    pub(crate) budget: &'b mut Budget,
}

/// How a search for a member ended.
enum Found {
    /// The member's type.
    Yes(u32),
    No,
    /// By name, but of another type.
    Incompatible,
}

impl Matcher<'_, '_> {
    /// The target spec, or why there is none.
    pub(crate) fn run(&mut self, local: &Spec) -> Result<Result<Spec, Mismatch>> {
        let (btf, id) = (self.index, self.root);
        let mut spec = Spec::new(local.kind, self.root);
        if local.kind.is_type() {
            let (ours, theirs) = (
                At::new(self.local, local.root),
                At::new(self.btf, self.root),
            );
            let fits = if local.kind == ReloKind::TypeMatches {
                compat::matches(ours, theirs, self.budget)?
            } else {
                compat::types(ours, theirs, self.budget)?
            };
            return Ok(if fits {
                Ok(spec)
            } else {
                Err(Mismatch::OtherShape { btf, id })
            });
        }
        if local.kind.is_enumval() {
            return self.enumerator(local, spec);
        }
        let mut at = self.root;
        for (level, &accessor) in local.accessors.iter().enumerate() {
            let Some(ty) = self.btf.resolve_modifiers(at) else {
                return dangling(at);
            };
            at = ty.id();
            if accessor.named {
                match self.member(accessor, at, &mut spec)? {
                    Found::Yes(next) => at = next,
                    Found::No => return Ok(Err(Mismatch::NoMember { btf, id, level })),
                    Found::Incompatible => return Ok(Err(Mismatch::OtherType { btf, id, level })),
                }
                continue;
            }
            // The first index is through a pointer to the root, all others into an array.
            if level > 0 {
                let Some(array) = ty.array() else {
                    return Ok(Err(Mismatch::NotInArray { btf, id, level }));
                };
                let flexible = is_flexible(self.btf, spec.accessors.last(), array);
                if accessor.index as u32 >= array.count && !flexible {
                    return Ok(Err(Mismatch::NotInArray { btf, id, level }));
                }
                match self.btf.resolve_modifiers(array.element) {
                    Some(element) => at = element.id(),
                    None => return dangling(array.element),
                }
            }
            if spec.raw.len() == MAX_LEVELS {
                return too_many_levels();
            }
            spec.accessors.push(Accessor {
                type_id: at,
                index: accessor.index,
                named: false,
            });
            spec.raw.push(accessor.index);
            spec.step_elements(self.btf, at, accessor.index)?;
        }
        Ok(Ok(spec))
    }

    fn enumerator(&mut self, local: &Spec, mut spec: Spec) -> Result<Result<Spec, Mismatch>> {
        let miss = Ok(Err(Mismatch::NoEnumerator {
            btf: self.index,
            id: self.root,
        }));
        let Some(ty) = self
            .btf
            .resolve_modifiers(self.root)
            .filter(|ty| ty.kind().is_enum())
        else {
            return miss;
        };
        let wanted = local
            .accessors
            .first()
            .and_then(|accessor| accessor.enumerator(self.local));
        let Some(wanted) = wanted else { return miss };
        let wanted = essential_name(wanted.cut_name());
        for (index, offered) in ty.enumerators().enumerate() {
            self.budget.spend(1)?;
            if essential_name(offered.cut_name()) == wanted {
                let index = index as i32;
                spec.accessors.push(Accessor {
                    type_id: ty.id(),
                    index,
                    named: true,
                });
                spec.raw.push(index);
                return Ok(Ok(spec));
            }
        }
        miss
    }

    /// Looks for the namesake of a local member in `id`, through anonymous members, and notes the way in `spec`.
    fn member(&mut self, accessor: Accessor, id: u32, spec: &mut Spec) -> Result<Found> {
        let Some((ty, steps)) = self.btf.resolve_counted(id) else {
            return dangling(id);
        };
        self.budget.spend(steps)?;
        if !matches!(ty.kind(), Kind::Struct | Kind::Union) {
            return Ok(Found::No);
        }
        let Some(wanted) = accessor.member(self.local) else {
            return Ok(Found::No);
        };
        let name = wanted.cut_name();
        for (index, member) in ty.members().enumerate() {
            self.budget.spend(1)?;
            if spec.raw.len() == MAX_LEVELS {
                return too_many_levels();
            }
            let anonymous = self.btf.string_is(member.name_off, b"");
            if !anonymous && !self.btf.string_is(member.name_off, name) {
                continue;
            }
            let before = spec.bit_offset;
            spec.bit_offset = before.wrapping_add(member.bit_offset);
            spec.raw.push(index as i32);
            if anonymous {
                match self.member(accessor, member.type_id, spec)? {
                    Found::No => {}
                    found => return Ok(found),
                }
            } else {
                let (ours, theirs) = (
                    At::new(self.local, wanted.type_id),
                    At::new(self.btf, member.type_id),
                );
                if compat::fields(ours, theirs, self.budget)? {
                    spec.accessors.push(Accessor {
                        type_id: ty.id(),
                        index: index as i32,
                        named: true,
                    });
                    return Ok(Found::Yes(member.type_id));
                }
                // libbpf searches no further: another member of the name cannot be meant.
                return Ok(Found::Incompatible);
            }
            spec.bit_offset = before;
            spec.raw.pop();
        }
        Ok(Found::No)
    }
}

fn dangling<T>(id: u32) -> Result<T> {
    Err(Error::new(
        format!("target type {id} does not exist or refers to itself"),
        "CO-RE relocation",
    ))
}

fn too_many_levels<T>() -> Result<T> {
    Err(Error::new(
        format!("a target nests more than {MAX_LEVELS} levels"),
        "CO-RE relocation",
    ))
}
