//! Building a BTF from types: what the tests, the rewriter and stripped-down BTFs are made with.
use std::collections::HashMap;

use crate::{Array, Btf, Error, HEADER_LEN, Int, Kind, MAGIC, Result, SectionVar, Type};

/// A type by value: its name and what its kind adds. Ids refer to the BTF it is written to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Def {
    /// As it stands in the file, without a NUL; empty for none.
    pub name: Vec<u8>,
    pub body: Body,
}

type Name = Vec<u8>;

/// What a kind adds to its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    Int {
        size: u32,
        int: Int,
    },
    /// PTR, TYPEDEF, CONST, VOLATILE, RESTRICT: `kind` of a type. TYPE_TAG too; `attribute` is its kind flag.
    Of {
        kind: Kind,
        type_id: u32,
        attribute: bool,
    },
    Array(Array),
    /// Members are (name, type, bit offset, bit field width); `bit_fields` is the kind flag: without it, widths are
    /// not stored.
    Composite {
        union: bool,
        size: u32,
        bit_fields: bool,
        members: Vec<(Name, u32, u32, u32)>,
    },
    /// Values as [`crate::Enumerator::value`]; `wide` makes it an ENUM64.
    Enum {
        wide: bool,
        signed: bool,
        size: u32,
        values: Vec<(Name, u64)>,
    },
    Fwd {
        union: bool,
    },
    Func {
        proto: u32,
        linkage: u32,
    },
    FuncProto {
        returns: u32,
        params: Vec<(Name, u32)>,
    },
    Var {
        type_id: u32,
        linkage: u32,
    },
    Datasec {
        size: u32,
        vars: Vec<SectionVar>,
    },
    Float {
        size: u32,
    },
    DeclTag {
        type_id: u32,
        component_idx: i32,
        attribute: bool,
    },
}

impl Type<'_> {
    /// This type by value. `None` for void and for a type whose bytes are not all there.
    #[must_use]
    pub fn def(&self) -> Option<Def> {
        let word = self.raw_size_or_type();
        let body = match self.kind() {
            Kind::Void => return None,
            Kind::Int => Body::Int {
                size: word,
                int: self.int()?,
            },
            kind @ (Kind::Ptr
            | Kind::Typedef
            | Kind::Volatile
            | Kind::Const
            | Kind::Restrict
            | Kind::TypeTag) => Body::Of {
                kind,
                type_id: word,
                attribute: self.kind_flag(),
            },
            Kind::Array => Body::Array(self.array()?),
            kind @ (Kind::Struct | Kind::Union) => Body::Composite {
                union: kind == Kind::Union,
                size: word,
                bit_fields: self.kind_flag(),
                members: self
                    .members()
                    .map(|it| {
                        (
                            it.name_bytes().to_vec(),
                            it.type_id,
                            it.bit_offset,
                            it.bitfield_size,
                        )
                    })
                    .collect(),
            },
            kind @ (Kind::Enum | Kind::Enum64) => Body::Enum {
                wide: kind == Kind::Enum64,
                signed: self.kind_flag(),
                size: word,
                values: self
                    .enumerators()
                    .map(|it| (it.name_bytes().to_vec(), it.value))
                    .collect(),
            },
            Kind::Fwd => Body::Fwd {
                union: self.kind_flag(),
            },
            Kind::Func => Body::Func {
                proto: word,
                linkage: self.vlen(),
            },
            Kind::FuncProto => Body::FuncProto {
                returns: word,
                params: self
                    .params()
                    .map(|it| (it.name_bytes().to_vec(), it.type_id))
                    .collect(),
            },
            Kind::Var => Body::Var {
                type_id: word,
                linkage: self.linkage()?,
            },
            Kind::Datasec => Body::Datasec {
                size: word,
                vars: self.section_vars().collect(),
            },
            Kind::Float => Body::Float { size: word },
            Kind::DeclTag => Body::DeclTag {
                type_id: word,
                component_idx: self.component_idx()?,
                attribute: self.kind_flag(),
            },
        };
        Some(Def {
            name: self.name_bytes().to_vec(),
            body,
        })
    }
}

/// Writes types one after another, sharing equal strings.
#[derive(Debug)]
pub struct Builder {
    big_endian: bool,
    types: Vec<u8>,
    strings: Vec<u8>,
    known: HashMap<Vec<u8>, u32>,
    first_string: u32,
    next_id: u32,
}

impl Builder {
    /// A BTF of its own.
    #[must_use]
    pub fn new(big_endian: bool) -> Self {
        let known = HashMap::from([(Vec::new(), 0)]);
        Self {
            big_endian,
            types: Vec::new(),
            strings: vec![0],
            known,
            first_string: 0,
            next_id: 1,
        }
    }

    /// A split BTF on top of `base`, in its byte order: ids continue, strings of the base are shared.
    #[must_use]
    pub fn split(base: &Btf) -> Self {
        let mut known = HashMap::from([(Vec::new(), 0)]);
        let mut at = base.first_string();
        for string in base.string_section().split(|&byte| byte == 0) {
            known.entry(string.to_vec()).or_insert(at);
            at = at.saturating_add(string.len() as u32 + 1);
        }
        Self {
            big_endian: base.is_big_endian(),
            types: Vec::new(),
            strings: Vec::new(),
            known,
            first_string: base.strings_end(),
            next_id: base.len(),
        }
    }

    /// The offset of a string, added when new. A NUL inside ends it.
    pub fn string(&mut self, text: &[u8]) -> u32 {
        let text = text.split(|&byte| byte == 0).next().unwrap_or_default();
        if let Some(&at) = self.known.get(text) {
            return at;
        }
        let at = self.first_string.saturating_add(self.strings.len() as u32);
        self.strings.extend_from_slice(text);
        self.strings.push(0);
        self.known.insert(text.to_vec(), at);
        at
    }

    fn word(&mut self, word: u32) {
        self.types.extend(if self.big_endian {
            word.to_be_bytes()
        } else {
            word.to_le_bytes()
        });
    }

    fn head(&mut self, name: u32, kind: Kind, flag: bool, vlen: usize, word: u32) {
        self.word(name);
        self.word(
            u32::from(flag) << 31 | u32::from(kind.number()) << 24 | (vlen as u32 & 0x00ff_ffff),
        );
        self.word(word);
    }

    /// Adds a type; answers its id.
    pub fn add(&mut self, def: &Def) -> u32 {
        let name = self.string(&def.name);
        match &def.body {
            Body::Int { size, int } => {
                self.head(name, Kind::Int, false, 0, *size);
                self.word(
                    u32::from(int.encoding) << 24
                        | u32::from(int.offset) << 16
                        | u32::from(int.bits),
                );
            }
            Body::Of {
                kind,
                type_id,
                attribute,
            } => self.head(name, *kind, *attribute, 0, *type_id),
            Body::Array(array) => {
                self.head(name, Kind::Array, false, 0, 0);
                for word in [array.element, array.index, array.count] {
                    self.word(word);
                }
            }
            Body::Composite {
                union,
                size,
                bit_fields,
                members,
            } => {
                let kind = if *union { Kind::Union } else { Kind::Struct };
                self.head(name, kind, *bit_fields, members.len(), *size);
                for (name, type_id, offset, width) in members {
                    let name = self.string(name);
                    let offset = if *bit_fields {
                        width << 24 | (offset & 0x00ff_ffff)
                    } else {
                        *offset
                    };
                    for word in [name, *type_id, offset] {
                        self.word(word);
                    }
                }
            }
            Body::Enum {
                wide,
                signed,
                size,
                values,
            } => {
                let kind = if *wide { Kind::Enum64 } else { Kind::Enum };
                self.head(name, kind, *signed, values.len(), *size);
                for (name, value) in values {
                    let name = self.string(name);
                    self.word(name);
                    self.word(*value as u32);
                    if *wide {
                        self.word((value >> 32) as u32);
                    }
                }
            }
            Body::Fwd { union } => self.head(name, Kind::Fwd, *union, 0, 0),
            Body::Func { proto, linkage } => {
                self.head(name, Kind::Func, false, *linkage as usize, *proto);
            }
            Body::FuncProto { returns, params } => {
                self.head(name, Kind::FuncProto, false, params.len(), *returns);
                for (name, type_id) in params {
                    let name = self.string(name);
                    self.word(name);
                    self.word(*type_id);
                }
            }
            Body::Var { type_id, linkage } => {
                self.head(name, Kind::Var, false, 0, *type_id);
                self.word(*linkage);
            }
            Body::Datasec { size, vars } => {
                self.head(name, Kind::Datasec, false, vars.len(), *size);
                for var in vars {
                    for word in [var.type_id, var.offset, var.size] {
                        self.word(word);
                    }
                }
            }
            Body::Float { size } => self.head(name, Kind::Float, false, 0, *size),
            Body::DeclTag {
                type_id,
                component_idx,
                attribute,
            } => {
                self.head(name, Kind::DeclTag, *attribute, 0, *type_id);
                self.word(*component_idx as u32);
            }
        }
        let id = self.next_id;
        self.next_id = self.next_id.saturating_add(1);
        id
    }

    /// The whole BTF: header, types, strings.
    ///
    /// # Errors
    /// Over 4 GiB of types or strings.
    pub fn finish(&self) -> Result<Vec<u8>> {
        let too_large = |_| Error::new("over 4 GiB of types or strings", "BTF builder");
        let types = u32::try_from(self.types.len()).map_err(too_large)?;
        let strings = u32::try_from(self.strings.len()).map_err(too_large)?;
        let mut out =
            Vec::with_capacity(HEADER_LEN as usize + self.types.len() + self.strings.len());
        let word = |out: &mut Vec<u8>, word: u32| {
            out.extend(if self.big_endian {
                word.to_be_bytes()
            } else {
                word.to_le_bytes()
            });
        };
        out.extend(if self.big_endian {
            MAGIC.to_be_bytes()
        } else {
            MAGIC.to_le_bytes()
        });
        out.extend([1, 0]);
        for value in [HEADER_LEN, 0, types, types, strings] {
            word(&mut out, value);
        }
        out.extend_from_slice(&self.types);
        out.extend_from_slice(&self.strings);
        Ok(out)
    }
}

impl Btf {
    /// Writes every own type anew: the same types with the same ids in our own layout of the strings.
    ///
    /// # Errors
    /// As [`Builder::finish`], and a type that cannot be read whole or has a name over 16 KiB.
    pub fn rebuild(&self) -> Result<Vec<u8>> {
        let mut builder = match self.base() {
            Some(base) => Builder::split(base),
            None => Builder::new(self.is_big_endian()),
        };
        for ty in self.own_types() {
            let Some(def) = self.has_sane_names(ty).then(|| ty.def()).flatten() else {
                return Err(Error::new(
                    "its name or a part's is over 16 KiB",
                    format!("BTF type {}", ty.id()),
                ));
            };
            builder.add(&def);
        }
        builder.finish()
    }
    fn has_sane_names(&self, ty: Type<'_>) -> bool {
        let ends = |offset: u32| {
            self.tail_at(offset).is_none_or(|tail| {
                memchr::memchr(0, tail.get(..16 << 10).unwrap_or(tail)).is_some()
            })
        };
        ends(ty.name_off())
            && ty.members().all(|it| ends(it.name_off))
            && ty.enumerators().all(|it| ends(it.name_off))
            && ty.params().all(|it| ends(it.name_off))
    }
}
