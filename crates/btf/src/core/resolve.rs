//! From a local relocation to the target it means: candidates by name, matched one by one, all agreeing.
use std::collections::HashMap;

use super::matcher::Matcher;
use super::spec::kinds_fit;
use super::{Budget, ReloKind, Spec, Value, calc, essential_name};
use crate::ext::CoreRelo;
use crate::{Btf, Error, Result};

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
            total: Budget::new(1 << 25),
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
