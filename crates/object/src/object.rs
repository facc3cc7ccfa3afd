//! The object as a whole.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use bpfsmith_btf::ext::BtfExt;
use bpfsmith_btf::{Btf, Bytes, Kind, Lacking};
use bpfsmith_isa::Endian;

use crate::datasec::{self, Datasecs};
use crate::elf::{Elf, u32_at};
use crate::ext::{CoreIndex, LineIndex};
use crate::image::FuncIndex;
use crate::kernel::{Against, btf_error};
use crate::notes::Notes;
use crate::relocs::{CodeReloc, CodeRelocs};
use crate::sections::{self, Role};
use crate::{Error, Extern, Function, Global, Linked, Map, Note, Program, Result};
use crate::{externs, functions, link, maps};

/// Linked programs are kept up to this many slots per object (16 MiB of instructions).
const KEEP_SLOTS: usize = 1 << 20;
/// Linking one object stops after this many slots: thousands of programs that all use one huge subprogram.
const TOTAL_SLOTS: usize = 1 << 24;
/// libbpf keeps as many bytes of the license.
const LICENSE: usize = 63;

/// One eBPF object file, read.
#[derive(Debug)]
pub struct Object {
    /// Byte order of instructions and data.
    pub endian: Endian,
    /// Text of the `license` section.
    pub license: Option<String>,
    /// Number in the `version` section.
    pub kernel_version: Option<u32>,
    /// The object's own BTF.
    pub btf: Option<Arc<Btf>>,
    /// Function, line and CO-RE records.
    pub btf_ext: Option<BtfExt>,
    /// `.debug_info` is there.
    pub has_dwarf: bool,
    /// Compiler text from `.comment`.
    pub producer: Option<String>,
    /// All functions by section, then offset.
    pub functions: Vec<Function>,
    /// Entry programs in libbpf's order.
    pub programs: Vec<Program>,
    /// Maps in libbpf's order: `.maps`, legacy, data sections, `.kconfig`, `struct_ops`.
    pub maps: Vec<Map>,
    /// Variables of data sections by section, then offset.
    pub globals: Vec<Global>,
    /// Undefined symbols in libbpf's order.
    pub externs: Vec<Extern>,
    /// What was unusual but readable.
    pub notes: Vec<Note>,
    pub(crate) elf: Elf,
    pub(crate) roles: Vec<Role>,
    pub(crate) relocs: CodeRelocs,
    /// Symbol index -> extern.
    pub(crate) extern_symbols: HashMap<usize, usize>,
    /// (section, offset) -> map, of maps instructions can refer to.
    pub(crate) map_places: HashMap<(u32, u64), usize>,
    pub(crate) kconfig_map: Option<usize>,
    pub(crate) jump_table_section: Option<usize>,
    /// Program name -> function to append last.
    pub(crate) exception_callbacks: HashMap<String, usize>,
    pub(crate) core_index: OnceLock<CoreIndex>,
    pub(crate) line_index: OnceLock<LineIndex>,
    pub(crate) func_index: OnceLock<FuncIndex>,
    pub(crate) against: Mutex<Option<Arc<Against>>>,
    pub(crate) kernel_btf: Mutex<Option<(Lacking, Arc<Vec<u8>>)>>,
    linked: Vec<OnceLock<Result<Arc<Linked>>>>,
    /// Programs whose slots are in `spent`.
    paid: Vec<AtomicBool>,
    kept: AtomicUsize,
    spent: AtomicUsize,
}

impl Object {
    /// Reads an object; the bytes are shared, not copied.
    ///
    /// # Errors
    /// Not an eBPF object (and what it is instead), or a damaged one.
    pub fn parse(data: impl Into<Bytes>) -> Result<Self> {
        let elf = Elf::parse(data.into())?;
        let roles = sections::roles(&elf);
        let mut notes = Notes::default();
        let (btf, btf_ext) = type_info(&elf, &mut notes)?;
        let found = functions::collect(&elf, &roles, &mut notes)?;
        let relocs = CodeRelocs::new(&elf, &roles, &mut notes)?;
        let externs = externs::collect(&elf, btf.as_deref(), &mut notes);
        let datasecs = Datasecs::new(&elf, btf.as_deref());
        let cx = maps::Context {
            elf: &elf,
            roles: &roles,
            btf: btf.as_deref(),
            datasecs: &datasecs,
            externs: &externs,
            functions: &found.functions,
        };
        let maps = maps::collect(&cx, &mut notes);
        let notes = notes.finish();
        let globals = datasec::globals(&elf, &roles, &datasecs);
        let callbacks = exception_callbacks(
            btf.as_deref(),
            &found,
            functions::text_section(&elf, &roles),
        );
        let mut map_places = HashMap::with_capacity(maps.len());
        for (index, map) in maps
            .iter()
            .enumerate()
            .filter(|(_, m)| m.section_index != 0)
        {
            map_places
                .entry((map.section_index, map.offset))
                .or_insert(index);
        }
        Ok(Self {
            endian: if elf.big { Endian::Big } else { Endian::Little },
            license: license(&elf),
            kernel_version: elf
                .find_section("version")
                .and_then(|i| u32_at(elf.section_data(i), 0, elf.big)),
            has_dwarf: elf.find_section(".debug_info").is_some(),
            producer: producer(&elf),
            jump_table_section: roles.iter().position(|r| *r == Role::JumpTables),
            kconfig_map: maps.iter().position(|m| m.origin == crate::Origin::Kconfig),
            paid: found
                .programs
                .iter()
                .map(|_| AtomicBool::new(false))
                .collect(),
            linked: found.programs.iter().map(|_| OnceLock::new()).collect(),
            functions: found.functions,
            programs: found.programs,
            externs: externs.externs,
            extern_symbols: externs.by_symbol,
            exception_callbacks: callbacks,
            core_index: OnceLock::new(),
            line_index: OnceLock::new(),
            func_index: OnceLock::new(),
            against: Mutex::new(None),
            kernel_btf: Mutex::new(None),
            kept: AtomicUsize::new(0),
            spent: AtomicUsize::new(0),
            btf,
            btf_ext,
            maps,
            globals,
            notes,
            roles,
            relocs,
            map_places,
            elf,
        })
    }

    /// The program `index` linked: computed on first use, then shared.
    ///
    /// # Errors
    /// A reference that leads nowhere, with the section, function and offset it stands at.
    pub fn link(&self, index: usize) -> Result<Arc<Linked>> {
        let Some((cell, paid)) = self.linked.get(index).zip(self.paid.get(index)) else {
            return Ok(Arc::new(link::link(self, index)?));
        };
        if let Some(done) = cell.get() {
            return done.clone();
        }
        // Each program is paid for once, so that the answer never changes.
        if !paid.load(Ordering::Relaxed) && self.spent.load(Ordering::Relaxed) > TOTAL_SLOTS {
            let text = format!("its programs have more than {TOTAL_SLOTS} instructions together");
            return cell.get_or_init(|| Err(Error::new(text, ""))).clone();
        }
        let linked = match link::link(self, index) {
            Ok(linked) => Arc::new(linked),
            Err(error) => return cell.get_or_init(|| Err(error)).clone(),
        };
        let weight = linked.weight();
        if !paid.swap(true, Ordering::Relaxed) {
            self.spent.fetch_add(weight, Ordering::Relaxed);
        }
        if self.kept.fetch_add(weight, Ordering::Relaxed) < KEEP_SLOTS {
            return cell.get_or_init(|| Ok(linked)).clone();
        }
        Ok(linked)
    }

    /// The bytes a map is initialised with; `None` for maps without (`.bss`, hashes...).
    #[must_use]
    pub fn map_data(&self, map: &Map) -> Option<&[u8]> {
        self.elf.bytes().get(map.data.clone()?)
    }

    /// A BTF string: file name or text of a `Line`. What is not UTF-8 shows as U+FFFD.
    #[must_use]
    pub fn string(&self, offset: u32) -> Option<String> {
        Some(self.btf.as_ref()?.str_at(offset)?.into_owned())
    }

    /// Relocations of instructions in the whole file.
    #[must_use]
    pub fn relocation_count(&self) -> usize {
        self.relocs.count()
    }

    pub(crate) fn program_name(&self, index: usize) -> &str {
        self.programs.get(index).map_or("", |p| p.name.as_str())
    }

    pub(crate) fn relocs_of(&self, function: &Function) -> &[CodeReloc] {
        let first = function.first_slot();
        let end = first.saturating_add(function.slots());
        self.relocs
            .between(function.section_index as usize, first, end)
    }
}

/// `.BTF` and `.BTF.ext`. Damaged BTF is an error; without its records programs still are readable.
fn type_info(elf: &Elf, notes: &mut Notes) -> Result<(Option<Arc<Btf>>, Option<BtfExt>)> {
    let part = |name| {
        let range = elf
            .find_section(name)
            .and_then(|i| elf.section(i))
            .map(|s| s.range.clone())?;
        Some(elf.data.slice(range)).filter(|b| !b.is_empty())
    };
    let Some(bytes) = part(".BTF") else {
        return Ok((None, None));
    };
    let btf = Btf::parse(bytes).map_err(|e| btf_error(&e, "section `.BTF`"))?;
    btf.set_pointer_size(8);
    let ext = part(".BTF.ext").and_then(|bytes| match BtfExt::parse(bytes) {
        Ok(ext) => Some(ext),
        Err(e) => {
            notes.push(Note {
                kind: "bad-btf-ext",
                text: format!(
                    "`.BTF.ext` is not readable: {e}; source lines and CO-RE relocations are lost"
                ),
            });
            None
        }
    });
    Ok((Some(Arc::new(btf)), ext))
}

fn license(elf: &Elf) -> Option<String> {
    let data = elf.section_data(elf.find_section("license")?);
    let end = data
        .iter()
        .position(|b| *b == 0)
        .unwrap_or(data.len())
        .min(LICENSE);
    Some(String::from_utf8_lossy(data.get(..end)?).into_owned())
}

/// The compilers' texts, NUL-separated in the file.
fn producer(elf: &Elf) -> Option<String> {
    let data = elf.section_data(elf.find_section(".comment")?);
    let texts: Vec<_> = data
        .split(|b| *b == 0)
        .filter(|t| !t.is_empty())
        .take(8)
        .map(|t| String::from_utf8_lossy(t.get(..200).unwrap_or(t)))
        .collect();
    (!texts.is_empty()).then(|| texts.join("; "))
}

/// Declaration tags `exception_callback:NAME` of programs, and the global subprograms they name.
fn exception_callbacks(
    btf: Option<&Btf>,
    found: &functions::Functions,
    text: Option<usize>,
) -> HashMap<String, usize> {
    const TAG: &[u8] = b"exception_callback:";
    let mut out: HashMap<String, Option<usize>> = HashMap::new();
    let Some(btf) = btf else {
        return HashMap::new();
    };
    let callable: HashMap<&[u8], usize> = found
        .functions
        .iter()
        .enumerate()
        .filter(|(_, f)| Some(f.section_index as usize) == text && !f.is_static)
        .map(|(index, f)| (f.name.as_bytes(), index))
        .collect();
    for tag in btf.own_types().filter(|t| t.kind() == Kind::DeclTag) {
        let Some(name) = tag.cut_name().strip_prefix(TAG) else {
            continue;
        };
        let program = tag
            .type_id()
            .and_then(|id| btf.get(id))
            .filter(|t| t.kind() == Kind::Func && t.linkage() == Some(1));
        let Some(program) = program.filter(|_| tag.component_idx() == Some(-1)) else {
            continue;
        };
        let callback = callable.get(name).copied();
        // Two callbacks for one program are refused by the verifier; libbpf then appends none.
        out.entry(program.name().into_owned())
            .and_modify(|twice| *twice = None)
            .or_insert(callback);
    }
    out.into_iter()
        .filter_map(|(name, callback)| Some((name, callback?)))
        .collect()
}
