//! What depends on a kernel: CO-RE relocation and the externs it resolves.

use std::sync::Arc;

use bpfsmith_btf::core::{Resolution, Resolver, patch, types_compatible};
use bpfsmith_btf::{Btf, Kind};
use bpfsmith_isa::{Insn, decode_all};
use sha2::{Digest, Sha256};

use crate::{Error, Extern, ExternKind, Linked, Object, Result, Target};

/// An unresolved weak kfunc's call becomes a call of this helper plus the extern's index (libbpf 1.3).
pub(crate) const POISONED_KFUNC: i32 = 2_002_000_000;

/// One kernel's answer to everything an object asks of it: every CO-RE relocation and extern resolved once.
#[derive(Debug)]
pub struct Against {
    targets: Vec<Arc<Btf>>,
    /// By the number of the record in `.BTF.ext`.
    relocations: Vec<Result<Resolution>>,
    /// By extern.
    found: Vec<bool>,
}

impl Against {
    /// What became of the CO-RE relocation `CoreSlot::number`.
    pub fn relocation(&self, number: usize) -> Result<&Resolution> {
        match self.relocations.get(number) {
            Some(result) => result.as_ref().map_err(Clone::clone),
            None => Err(Error::new(
                format!("no CO-RE relocation {number}"),
                ".BTF.ext",
            )),
        }
    }

    /// True when the kernel has the extern `index` with the type the object declares.
    #[must_use]
    pub fn has_extern(&self, index: usize) -> bool {
        self.found.get(index).copied().unwrap_or(false)
    }

    /// The BTFs this was made from: vmlinux first.
    #[must_use]
    pub fn targets(&self) -> &[Arc<Btf>] {
        &self.targets
    }
}

pub(crate) fn btf_error(error: &bpfsmith_btf::Error, place: &str) -> Error {
    let location = error.location();
    let place = match (place.is_empty(), location.is_empty()) {
        (true, _) => location.to_owned(),
        (_, true) => place.to_owned(),
        _ => format!("{place}, {location}"),
    };
    Error::new(error.message(), place)
}

fn find_extern(object: &Object, ext: &Extern, targets: &[Arc<Btf>]) -> bool {
    let Some(local) = object.btf.as_ref() else {
        return false;
    };
    let (kind, name) = match ext.kind {
        // `name___flavour` asks for the kernel's `name`.
        ExternKind::Kfunc | ExternKind::Func => (
            Kind::Func,
            bpfsmith_btf::core::essential_name(ext.name.as_bytes()),
        ),
        ExternKind::KsymTyped => (Kind::Var, ext.name.as_bytes()),
        ExternKind::KsymTypeless | ExternKind::Kconfig | ExternKind::Unknown => return false,
    };
    let found = targets.iter().enumerate().find_map(|(at, btf)| {
        let id = if at == 0 {
            btf.find(name, Some(kind))
        } else {
            btf.find_all(name, Some(kind))
                .into_iter()
                .find(|id| *id >= btf.first_id())
        };
        Some((btf, id?))
    });
    let Some((btf, id)) = found else { return false };
    let inner = |btf: &Btf, id: u32| btf.get(id).and_then(|t| t.type_id()).unwrap_or(0);
    let (wanted, offered) = match kind {
        Kind::Func => (inner(local, ext.type_id), inner(btf, id)),
        _ => (
            local.resolve_modifiers(ext.type_id).map_or(0, |t| t.id()),
            btf.resolve_modifiers(inner(btf, id)).map_or(0, |t| t.id()),
        ),
    };
    types_compatible(local, wanted, btf, offered).unwrap_or(false)
}

impl Object {
    /// Resolves every CO-RE relocation and extern against a kernel (vmlinux BTF first, modules' after it).
    ///
    /// The last answer is kept and given again for the same BTFs, so that asking per program costs nothing.
    #[must_use]
    pub fn against(&self, targets: &[Arc<Btf>]) -> Arc<Against> {
        let mut kept = self
            .against
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(last) = kept.as_ref()
            && last.targets.len() == targets.len()
            && last
                .targets
                .iter()
                .zip(targets)
                .all(|(a, b)| Arc::ptr_eq(a, b))
        {
            return Arc::clone(last);
        }
        let fresh = Arc::new(self.resolve(targets));
        *kept = Some(Arc::clone(&fresh));
        fresh
    }

    fn resolve(&self, targets: &[Arc<Btf>]) -> Against {
        let borrowed: Vec<&Btf> = targets.iter().map(AsRef::as_ref).collect();
        let mut relocations = Vec::new();
        if let Some((btf, index)) = self.btf.as_ref().zip(self.core_index()) {
            let mut resolver = Resolver::new(btf, &borrowed);
            relocations = index
                .all
                .iter()
                .map(|(section, relo)| {
                    resolver.resolve(relo).map_err(|e| {
                        btf_error(
                            &e,
                            &format!("section `{}`", self.elf.section_name(*section as usize)),
                        )
                    })
                })
                .collect();
        }
        let found = self
            .externs
            .iter()
            .map(|e| find_extern(self, e, targets))
            .collect();
        Against {
            targets: targets.to_vec(),
            relocations,
            found,
        }
    }

    /// The linked instructions of program `index` as libbpf passes them to that kernel, but for file descriptors and
    /// BTF ids: maps stay indices. Relocations the kernel cannot satisfy are poisoned as libbpf does.
    ///
    /// # Errors
    /// What makes libbpf refuse the program: linking errors, and CO-RE relocations that are malformed, ambiguous or
    /// do not fit their instruction.
    pub fn relocated_insns(&self, index: usize, targets: &[Arc<Btf>]) -> Result<Vec<Insn>> {
        let linked = self.link(index)?;
        let against = self.against(targets);
        let mut bytes = linked.bytes(self.endian);
        let (slots, _) = bytes.as_chunks_mut::<8>();
        for core in &linked.core {
            let resolution = against.relocation(core.number)?;
            patch(slots, core.slot, resolution, self.elf.big)
                .map_err(|e| btf_error(&e, &format!("program `{}`", self.program_name(index))))?;
        }
        let mut insns = decode_all(&bytes, self.endian);
        self.unresolved_externs(&linked, &against, &mut insns);
        Ok(insns)
    }

    /// Weak externs the kernel lacks: kfunc calls are poisoned, addresses become 0.
    fn unresolved_externs(&self, linked: &Linked, against: &Against, insns: &mut [Insn]) {
        for (slot, target) in linked.refs.iter().map(|r| (r.slot, r.target)) {
            let Target::Extern(index) = target else {
                continue;
            };
            let Some(ext) = self.externs.get(index) else {
                continue;
            };
            let asks = matches!(ext.kind, ExternKind::Kfunc | ExternKind::KsymTyped);
            if !asks || !ext.weak || against.has_extern(index) {
                continue;
            }
            let Some(insn) = insns.get_mut(slot) else {
                continue;
            };
            if insn.is_call() {
                insn.src = 0;
                insn.off = 0;
                insn.imm = POISONED_KFUNC.wrapping_add(index as i32);
            } else {
                insn.src = 0;
                insn.imm = 0;
            }
        }
    }

    /// [`Object::relocated_insns`] as bytes in the object's byte order.
    ///
    /// # Errors
    /// As [`Object::relocated_insns`].
    pub fn relocated(&self, index: usize, targets: &[Arc<Btf>]) -> Result<Vec<u8>> {
        Ok(bpfsmith_isa::encode_all(
            &self.relocated_insns(index, targets)?,
            self.endian,
        ))
    }

    /// The slots the fingerprint hashes, in the object's byte order: linked, relocated when there are `targets`, and
    /// without what differs from run to run. `imm` is 0 in both halves of each `ld_imm64` whose source register is
    /// not 0; `off` and `imm` are 0 in calls with source register 2.
    ///
    /// # Errors
    /// As [`Object::relocated_insns`].
    pub fn normalised(&self, index: usize, targets: Option<&[Arc<Btf>]>) -> Result<Vec<u8>> {
        let mut insns = match targets {
            Some(targets) => self.relocated_insns(index, targets)?,
            None => self.link(index)?.insns.clone(),
        };
        normalise(&mut insns);
        Ok(bpfsmith_isa::encode_all(&insns, self.endian))
    }

    /// SHA-256 of [`Object::normalised`] in lower-case hexadecimal.
    ///
    /// # Errors
    /// As [`Object::relocated_insns`].
    pub fn fingerprint(&self, index: usize, targets: Option<&[Arc<Btf>]>) -> Result<String> {
        let digest = Sha256::digest(self.normalised(index, targets)?);
        let mut text = String::with_capacity(64);
        for byte in digest {
            for nibble in [byte >> 4, byte & 15] {
                text.push(char::from_digit(u32::from(nibble), 16).unwrap_or('0'));
            }
        }
        Ok(text)
    }
}

/// Removes what a loader fills in anew each time.
pub(crate) fn normalise(insns: &mut [Insn]) {
    let mut slot = 0;
    while let Some(insn) = insns.get_mut(slot) {
        let (wide, named) = (insn.is_ld_imm64(), insn.src != 0);
        if wide && named {
            insn.imm = 0;
        } else if insn.is_kfunc_call() {
            insn.off = 0;
            insn.imm = 0;
        }
        if wide
            && named
            && let Some(second) = insns.get_mut(slot + 1)
        {
            second.imm = 0;
        }
        slot += if wide { 2 } else { 1 };
    }
}
