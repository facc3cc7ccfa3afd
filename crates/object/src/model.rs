//! The values an object consists of: owned, cheap to clone into another language, referring to each other by index.

/// Something unusual but readable. `kind` is a stable word for tools, `text` a sentence for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Stable kebab-case word.
    pub kind: &'static str,
    /// One sentence, lower case, no full stop.
    pub text: String,
}

/// A function symbol (or, in objects without symbols for it, a whole section) with instructions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// Symbol name.
    pub name: String,
    /// ELF section index.
    pub section_index: u32,
    /// Section name as written, `?` included.
    pub section: String,
    /// First byte inside the section.
    pub offset: u64,
    /// Bytes.
    pub size: u64,
    /// `__weak`.
    pub weak: bool,
    /// Local binding, or global with hidden visibility (which the verifier treats as static).
    pub is_static: bool,
    /// An entry program as libbpf sees it; otherwise a subprogram.
    pub program: bool,
}

impl Function {
    /// First slot inside the section.
    #[must_use]
    pub fn first_slot(&self) -> usize {
        usize::try_from(self.offset / 8).unwrap_or(usize::MAX)
    }

    /// Slots of its own.
    #[must_use]
    pub fn slots(&self) -> usize {
        usize::try_from(self.size / 8).unwrap_or(usize::MAX)
    }
}

/// An entry program. `Object::link(index)` gives its instructions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// Function name.
    pub name: String,
    /// Section name without a leading `?`.
    pub section: String,
    /// Index into `Object::functions`.
    pub function: usize,
    /// Bytes into its section.
    pub offset: u64,
    /// Slots before linking.
    pub own_slots: usize,
    /// False for `SEC("?...")`.
    pub autoload: bool,
    /// `__weak`.
    pub weak: bool,
}

/// Where a map definition came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// `.maps` with BTF.
    Btf,
    /// `maps` section of `bpf_map_def` structures (libbpf refuses it since 1.0; Aya reads it).
    Legacy,
    /// `.data*`, `.rodata*`, `.bss*`.
    Data,
    /// `.kconfig` externs.
    Kconfig,
    /// `.struct_ops*`.
    StructOps,
}

impl Origin {
    /// The word the JSON uses.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Btf => "btf",
            Self::Legacy => "legacy",
            Self::Data => "data",
            Self::Kconfig => "kconfig",
            Self::StructOps => "struct_ops",
        }
    }
}

/// A map as the object defines it; sizes are the object's, not the kernel's adjusted ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Map {
    /// Variable name; for data maps the section name.
    pub name: String,
    /// `BPF_MAP_TYPE_*` number.
    pub map_type: u32,
    /// Bytes.
    pub key_size: u32,
    /// Bytes.
    pub value_size: u32,
    /// Entries; 0 when the loader chooses.
    pub max_entries: u32,
    /// `BPF_F_*` bits.
    pub flags: u32,
    /// `map_extra` of the definition.
    pub map_extra: u64,
    /// `numa_node` of the definition.
    pub numa_node: u32,
    /// 0 none, 1 by name.
    pub pinning: u32,
    /// Kind of definition.
    pub origin: Origin,
    /// Section name.
    pub section: String,
    /// ELF section index; 0 for inner maps.
    pub section_index: u32,
    /// Bytes into the section.
    pub offset: u64,
    /// BTF type id of the key or 0.
    pub key_type: u32,
    /// BTF type id of the value or 0.
    pub value_type: u32,
    /// Definition of the inner maps of a map-in-map.
    pub inner: Option<Box<Map>>,
    /// Initial slots: (index, program or map name); of struct_ops (byte offset of the member, program name).
    pub values: Vec<(u32, String)>,
    /// Bytes of the file that initialise a data map (`None`: not a data map, or zero-filled `.bss`).
    pub data: Option<std::ops::Range<usize>>,
}

/// A variable in a data section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Global {
    /// Variable name.
    pub name: String,
    /// Section name.
    pub section: String,
    /// BTF type id of the variable's type, 0 without BTF.
    pub type_id: u32,
    /// Bytes into the section.
    pub offset: u64,
    /// Bytes.
    pub size: u64,
    /// `__weak`.
    pub weak: bool,
    /// File-local.
    pub is_static: bool,
}

/// What an undefined symbol asks of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ExternKind {
    /// Kernel function, by BTF.
    Kfunc,
    /// Kernel variable with a type, by BTF.
    KsymTyped,
    /// Kernel symbol address (`extern const void x __ksym`).
    KsymTypeless,
    /// Kernel configuration value.
    Kconfig,
    /// Undefined function without BTF.
    Func,
    /// Undefined, nothing known.
    Unknown,
}

impl ExternKind {
    /// `kfunc`, `ksym`, `kconfig`, `func` or `unknown`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Kfunc => "kfunc",
            Self::KsymTyped | Self::KsymTypeless => "ksym",
            Self::Kconfig => "kconfig",
            Self::Func => "func",
            Self::Unknown => "unknown",
        }
    }
}

/// An undefined symbol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extern {
    /// Symbol name as in the object (a `___flavour` included).
    pub name: String,
    /// What it asks for.
    pub kind: ExternKind,
    /// May stay unresolved.
    pub weak: bool,
    /// BTF type id of the variable's type or of the function, 0 without BTF.
    pub type_id: u32,
    /// Bytes into the `.kconfig` map; 0 otherwise.
    pub offset: u64,
    /// Bytes of a variable; 0 otherwise.
    pub size: u64,
}
