//! The kinds of BTF types, with the words bpftool prints and the size of their records.

/// A BTF kind, up to the newest one any kernel defines. `Void` is type id 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Kind {
    Void = 0,
    Int,
    Ptr,
    Array,
    Struct,
    Union,
    Enum,
    Fwd,
    Typedef,
    Volatile,
    Const,
    Restrict,
    Func,
    FuncProto,
    Var,
    Datasec,
    Float,
    DeclTag,
    TypeTag,
    Enum64,
}

impl Kind {
    /// The highest kind number this crate reads.
    pub const MAX: u8 = 19;

    const ALL: [Self; 20] = [
        Self::Void,
        Self::Int,
        Self::Ptr,
        Self::Array,
        Self::Struct,
        Self::Union,
        Self::Enum,
        Self::Fwd,
        Self::Typedef,
        Self::Volatile,
        Self::Const,
        Self::Restrict,
        Self::Func,
        Self::FuncProto,
        Self::Var,
        Self::Datasec,
        Self::Float,
        Self::DeclTag,
        Self::TypeTag,
        Self::Enum64,
    ];

    /// `None` for a kind of the future.
    #[inline]
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    #[must_use]
    pub fn number(self) -> u8 {
        self as u8
    }

    /// The word of `bpftool btf dump format raw`, such as `DECL_TAG`.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Void => "UNKNOWN",
            Self::Int => "INT",
            Self::Ptr => "PTR",
            Self::Array => "ARRAY",
            Self::Struct => "STRUCT",
            Self::Union => "UNION",
            Self::Enum => "ENUM",
            Self::Fwd => "FWD",
            Self::Typedef => "TYPEDEF",
            Self::Volatile => "VOLATILE",
            Self::Const => "CONST",
            Self::Restrict => "RESTRICT",
            Self::Func => "FUNC",
            Self::FuncProto => "FUNC_PROTO",
            Self::Var => "VAR",
            Self::Datasec => "DATASEC",
            Self::Float => "FLOAT",
            Self::DeclTag => "DECL_TAG",
            Self::TypeTag => "TYPE_TAG",
            Self::Enum64 => "ENUM64",
        }
    }

    /// The word libbpf uses in messages, such as `decl_tag`.
    #[must_use]
    pub fn lower(self) -> &'static str {
        match self {
            Self::Void => "void",
            Self::Int => "int",
            Self::Ptr => "ptr",
            Self::Array => "array",
            Self::Struct => "struct",
            Self::Union => "union",
            Self::Enum => "enum",
            Self::Fwd => "fwd",
            Self::Typedef => "typedef",
            Self::Volatile => "volatile",
            Self::Const => "const",
            Self::Restrict => "restrict",
            Self::Func => "func",
            Self::FuncProto => "func_proto",
            Self::Var => "var",
            Self::Datasec => "datasec",
            Self::Float => "float",
            Self::DeclTag => "decl_tag",
            Self::TypeTag => "type_tag",
            Self::Enum64 => "enum64",
        }
    }

    /// Finds a kind by bpftool's word in any case.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.word().eq_ignore_ascii_case(word))
    }

    /// CONST, VOLATILE, RESTRICT and TYPE_TAG: what qualifies a type without changing its layout.
    #[inline]
    #[must_use]
    pub fn is_modifier(self) -> bool {
        matches!(
            self,
            Self::Const | Self::Volatile | Self::Restrict | Self::TypeTag
        )
    }

    #[inline]
    #[must_use]
    pub fn is_composite(self) -> bool {
        matches!(self, Self::Struct | Self::Union)
    }

    #[inline]
    #[must_use]
    pub fn is_enum(self) -> bool {
        matches!(self, Self::Enum | Self::Enum64)
    }

    /// Bytes after the 12-byte common part: (fixed, per `vlen` element).
    #[inline]
    pub(crate) const fn tail(number: u8) -> Option<(u32, u32)> {
        Some(match number {
            1 | 14 | 17 => (4, 0),      // INT, VAR, DECL_TAG
            3 => (12, 0),               // ARRAY
            4 | 5 | 15 | 19 => (0, 12), // STRUCT, UNION, DATASEC, ENUM64
            6 | 13 => (0, 8),           // ENUM, FUNC_PROTO
            2 | 7..=12 | 16 | 18 => (0, 0),
            _ => return None, // 0 is void, which is never written; above 19 is the future.
        })
    }
}
