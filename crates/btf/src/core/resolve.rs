//! From a local relocation to the target it means: candidates by name, matched one by one, all agreeing.
use std::collections::HashMap;

use super::compat::{self, At};
use super::spec::{MAX_LEVELS, is_flexible, kinds_fit};
use super::{Accessor, Budget, ReloKind, Spec, Value, calc, essential_name};
use crate::ext::CoreRelo;
use crate::{Btf, Error, Kind, Result};

/// Where a relocation's target was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Index into the targets given to [`Resolver::new`].
    pub btf: usize,
    pub spec: Spec,
}

/// Why a candidate did not match. Level numbers count [`Spec::accessors`] of the local side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mismatch {
    /// No type of that name and kind in any target.
    NoCandidate,
    /// The candidate (target index, type id) lacks the member at this level.
    NoMember { btf: usize, id: u32, level: usize },
    /// The member is there at this level, but is something else.
    OtherType { btf: usize, id: u32, level: usize },
    /// An array was expected, or a longer one.
    NotInArray { btf: usize, id: u32, level: usize },
    /// The candidate enum has no such enumerator, or is no enum.
    NoEnumerator { btf: usize, id: u32 },
    /// The candidate is of another shape (`type_exists`, `type_matches`...).
    OtherShape { btf: usize, id: u32 },
}

/// What became of one relocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolution {
    pub kind: ReloKind,
    /// What the local BTF says.
    pub local: Spec,
    /// The first target that matched; the others agree with it. `None` when nothing did, and for `local_type_id`.
    pub target: Option<Target>,
    /// How many candidate types were tried.
    pub candidates: usize,
    pub value: Value,
    /// Why nothing matched: what the first candidate lacked.
    pub mismatch: Option<Mismatch>,
}

impl Resolution {
    /// False when the instruction is to be poisoned.
    #[must_use]
    pub fn is_resolved(&self) -> bool {
        !self.value.poison
    }

    /// In one sentence, why no target matched; `None` when one did.
    #[must_use]
    pub fn reason(&self, local: &Btf, targets: &[&Btf]) -> Option<String> {
        let mismatch = self.mismatch?;
        let root = local.get(self.local.root)?;
        let wanted = format!(
            "{} {}",
            root.kind().lower(),
            String::from_utf8_lossy(essential_name(root.cut_name()))
        );
        let candidate = |btf: usize, id: u32| {
            let ty = targets.get(btf).and_then(|btf| btf.get(id));
            ty.map_or_else(String::new, |ty| {
                format!("`{} {}` [{id}]", ty.kind().lower(), ty.name())
            })
        };
        let member = |level: usize| {
            let accessor = self.local.accessors.get(level);
            let name = accessor
                .map(|accessor| accessor.member_name(local))
                .unwrap_or_default();
            String::from_utf8_lossy(name).into_owned()
        };
        Some(match mismatch {
            Mismatch::NoCandidate => format!("the target has no `{wanted}`"),
            Mismatch::NoMember { btf, id, level } => {
                format!("{} has no member `{}`", candidate(btf, id), member(level))
            }
            Mismatch::OtherType { btf, id, level } => {
                format!(
                    "member `{}` of {} is of another kind",
                    member(level),
                    candidate(btf, id)
                )
            }
            Mismatch::NotInArray { btf, id, .. } => {
                format!(
                    "the access leaves the bounds of an array in {}",
                    candidate(btf, id)
                )
            }
            Mismatch::NoEnumerator { btf, id } => {
                let accessor = self.local.accessors.first();
                let name = accessor
                    .and_then(|accessor| accessor.enumerator(local))
                    .map(|it| it.name());
                format!(
                    "{} has no enumerator `{}`",
                    candidate(btf, id),
                    name.unwrap_or_default()
                )
            }
            Mismatch::OtherShape { btf, id } => {
                format!("{} is of another shape", candidate(btf, id))
            }
        })
    }
}

/// Answers kept; the largest objects have a few thousand different accesses.
const MAX_ANSWERS: usize = 1 << 16;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Candidate {
    btf: usize,
    id: u32,
}

/// Resolves the relocations of one object, in their order, against one kernel.
///
/// Candidates are found once per local type and pruned to those that matched, as libbpf does: a later relocation of
/// the same type looks only at those.
#[derive(Debug)]
pub struct Resolver<'a> {
    local: &'a Btf,
    targets: Vec<&'a Btf>,
    candidates: HashMap<u32, Vec<Candidate>>,
    /// Answers by type, access string and kind: objects repeat the same few. Pruning cannot change an answer, since
    /// candidates that matched once agree, and those that did not never will.
    answers: HashMap<(u32, u32, u32), Resolution>,
    /// All relocations together, so that many expensive ones stay bounded too.
    total: Budget,
}

/// Resolves one relocation on its own; for many use one [`Resolver`].
///
/// # Errors
/// As [`Resolver::resolve`].
pub fn resolve(local: &Btf, relo: &CoreRelo, targets: &[&Btf]) -> Result<Resolution> {
    Resolver::new(local, targets).resolve(relo)
}

impl<'a> Resolver<'a> {
    /// `targets[0]` is the kernel's own BTF, the rest are its modules', searched only for what the kernel lacks.
    #[must_use]
    pub fn new(local: &'a Btf, targets: &[&'a Btf]) -> Self {
        // An eBPF object's pointers have 8 bytes whatever its `long` says.
        local.set_pointer_size(8);
        Self {
            local,
            targets: targets.to_vec(),
            candidates: HashMap::new(),
            answers: HashMap::new(),
            total: Budget::new(1 << 28),
        }
    }

    /// What `relo` means in the targets. Not finding it is no error: see [`Resolution::is_resolved`].
    ///
    /// # Errors
    /// What makes libbpf refuse the whole object: a malformed record, an anonymous root type, candidates that
    /// disagree, a field whose place cannot be loaded.
    pub fn resolve(&mut self, relo: &CoreRelo) -> Result<Resolution> {
        let key = (relo.type_id, relo.access_str_off, relo.kind);
        if let Some(known) = self.answers.get(&key) {
            return Ok(known.clone());
        }
        let answer = self.resolve_new(relo)?;
        if self.answers.len() < MAX_ANSWERS {
            self.answers.insert(key, answer.clone());
        }
        Ok(answer)
    }

    fn resolve_new(&mut self, relo: &CoreRelo) -> Result<Resolution> {
        let fail = |message: String| {
            Err(Error::new(
                message,
                format!("CO-RE relocation at offset {:#x}", relo.insn_off),
            ))
        };
        let Some(kind) = ReloKind::from_number(relo.kind) else {
            return fail(format!("kind {} is not known", relo.kind));
        };
        let Some(root) = self.local.get(relo.type_id) else {
            return fail(format!("type {} does not exist", relo.type_id));
        };
        // No access of 64 levels is as long as this cuts.
        let access = self.local.cut_at(relo.access_str_off);
        let spec = Spec::parse(self.local, kind, relo.type_id, access)?;
        if kind == ReloKind::TypeIdLocal {
            let id = u64::from(relo.type_id);
            let value = Value {
                orig: id,
                new: id,
                ..Value::default()
            };
            return Ok(Resolution {
                kind,
                local: spec,
                target: None,
                candidates: 0,
                value,
                mismatch: None,
            });
        }
        if root.cut_name().is_empty() {
            return fail(format!("`{}` of an anonymous type", kind.word()));
        }
        let mut budget = Budget::new(Budget::PER_RELOCATION.min(self.total.left()));
        let before = budget.left();
        let found = self.match_candidates(relo, &spec, &mut budget);
        self.total.spend(before - budget.left())?;
        found
    }

    fn match_candidates(
        &mut self,
        relo: &CoreRelo,
        local: &Spec,
        budget: &mut Budget,
    ) -> Result<Resolution> {
        if !self.candidates.contains_key(&relo.type_id) {
            let found = self.find_candidates(relo.type_id, budget)?;
            self.candidates.insert(relo.type_id, found);
        }
        let tried = self
            .candidates
            .get(&relo.type_id)
            .map(Vec::as_slice)
            .unwrap_or_default();
        let mut first: Option<(Target, Value)> = None;
        let mut mismatch = tried.is_empty().then_some(Mismatch::NoCandidate);
        let mut kept = Vec::new();
        for candidate in tried {
            let Some(&btf) = self.targets.get(candidate.btf) else {
                continue;
            };
            let mut matcher = Matcher {
                local: self.local,
                btf,
                index: candidate.btf,
                root: candidate.id,
                budget,
            };
            let spec = match matcher.run(local)? {
                Ok(spec) => spec,
                Err(why) => {
                    mismatch.get_or_insert(why);
                    continue;
                }
            };
            let value = calc::value((self.local, local), Some((btf, &spec)))?;
            if let Some((target, agreed)) = &first {
                let fail = |message: String| {
                    Err(Error::new(
                        message,
                        format!("CO-RE relocation at offset {:#x}", relo.insn_off),
                    ))
                };
                if spec.bit_offset != target.spec.bit_offset {
                    return fail(format!(
                        "ambiguous: `{}` is at bit {} in type {} and at bit {} in type {}",
                        local.short(self.local),
                        target.spec.bit_offset,
                        target.spec.root,
                        spec.bit_offset,
                        spec.root
                    ));
                }
                if value.poison != agreed.poison || value.new != agreed.new {
                    return fail(format!(
                        "ambiguous: `{}` of `{}` is {} for type {} and {} for type {}",
                        local.kind.word(),
                        local.short(self.local),
                        agreed.new,
                        target.spec.root,
                        value.new,
                        spec.root
                    ));
                }
            } else {
                first = Some((
                    Target {
                        btf: candidate.btf,
                        spec,
                    },
                    value,
                ));
            }
            kept.push(*candidate);
        }
        let candidates = tried.len();
        let (target, value) = match first {
            Some((target, value)) => (Some(target), value),
            None => (None, calc::value((self.local, local), None)?),
        };
        if target.is_some() {
            mismatch = None;
            self.candidates.insert(relo.type_id, kept);
        }
        Ok(Resolution {
            kind: local.kind,
            local: local.clone(),
            target,
            candidates,
            value,
            mismatch,
        })
    }

    /// Types of the same kind and essential name: the kernel's, or when it has none, all modules'.
    fn find_candidates(&self, type_id: u32, budget: &mut Budget) -> Result<Vec<Candidate>> {
        let mut found = Vec::new();
        let Some(root) = self.local.get(type_id) else {
            return Ok(found);
        };
        let essential = essential_name(root.cut_name());
        for (index, target) in self.targets.iter().enumerate() {
            if index == 1 && !found.is_empty() {
                break;
            }
            let mut within = true;
            let mut add = |ty: crate::Type<'_>| {
                within = budget.spend(1).is_ok();
                if kinds_fit(root, ty) {
                    found.push(Candidate {
                        btf: index,
                        id: ty.id(),
                    });
                }
                within
            };
            if let Some(base) = target.base().filter(|_| index == 0) {
                base.for_essential(essential, &mut add);
            }
            target.for_essential(essential, &mut add);
            if !within {
                budget.spend(u32::MAX)?;
            }
        }
        Ok(found)
    }
}

/// Matching one local spec against one candidate type.
struct Matcher<'a, 'b> {
    local: &'a Btf,
    btf: &'a Btf,
    index: usize,
    root: u32,
    budget: &'b mut Budget,
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
    fn run(&mut self, local: &Spec) -> Result<Result<Spec, Mismatch>> {
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
        let Some(ty) = self.btf.resolve_modifiers(id) else {
            return dangling(id);
        };
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
