//! One type of a BTF: its common part, and typed views of what follows it.
use std::borrow::Cow;

use crate::bytes::u32_at;
use crate::{Btf, Kind};

/// A type, borrowed from its BTF. Copying it is cheap; every accessor reads the bytes anew.
#[derive(Clone, Copy, Debug)]
pub struct Type<'a> {
    btf: &'a Btf,
    id: u32,
    /// Where the elements begin in the type section, after the common 12 bytes.
    tail: u32,
    name_off: u32,
    info: u32,
    size_or_type: u32,
    kind: Kind,
}

/// What an INT adds to its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Int {
    /// Bit 0 signed, bit 1 char, bit 2 bool.
    pub encoding: u8,
    /// Old compilers' bit fields only.
    pub offset: u8,
    pub bits: u8,
}

impl Int {
    pub const SIGNED: u8 = 1;
    pub const CHAR: u8 = 2;
    pub const BOOL: u8 = 4;

    #[must_use]
    pub fn is_signed(self) -> bool {
        self.encoding & Self::SIGNED != 0
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Array {
    pub element: u32,
    pub index: u32,
    pub count: u32,
}

/// A field of a struct or union.
#[derive(Clone, Copy, Debug)]
pub struct Member<'a> {
    btf: &'a Btf,
    pub name_off: u32,
    pub type_id: u32,
    /// From the start of the struct.
    pub bit_offset: u32,
    /// Zero unless the member is a bit field.
    pub bitfield_size: u32,
}

/// A named constant of an ENUM or ENUM64.
#[derive(Clone, Copy, Debug)]
pub struct Enumerator<'a> {
    btf: &'a Btf,
    pub name_off: u32,
    /// As stored, sign-extended to 64 bits when the enum is signed.
    pub value: u64,
}

#[derive(Clone, Copy, Debug)]
pub struct Param<'a> {
    btf: &'a Btf,
    pub name_off: u32,
    /// Zero with an empty name for the `...` of a variadic function.
    pub type_id: u32,
}

/// A variable's place in a DATASEC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SectionVar {
    pub type_id: u32,
    pub offset: u32,
    pub size: u32,
}

macro_rules! named {
    ($($ty:ident),*) => {$(
        impl<'a> $ty<'a> {
            /// The name as it stands in the file; empty when anonymous or out of range.
            #[must_use]
            pub fn name_bytes(&self) -> &'a [u8] {
                self.btf.bytes_at(self.name_off).unwrap_or_default()
            }

            /// The name to show: what is not UTF-8 as U+FFFD, and no more than its first KiB.
            #[must_use]
            pub fn name(&self) -> Cow<'a, str> {
                String::from_utf8_lossy(self.cut_name())
            }

            /// The name to compare: its first KiB.
            #[must_use]
            pub fn cut_name(&self) -> &'a [u8] {
                self.btf.cut_at(self.name_off)
            }
        }
    )*};
}
named!(Type, Member, Enumerator, Param);

impl<'a> Type<'a> {
    pub(crate) fn void(btf: &'a Btf) -> Self {
        Self {
            btf,
            id: 0,
            tail: 0,
            name_off: 0,
            info: 0,
            size_or_type: 0,
            kind: Kind::Void,
        }
    }

    #[inline]
    pub(crate) fn read(btf: &'a Btf, id: u32, at: u32) -> Option<Self> {
        let record = btf
            .type_section()
            .get(at as usize..(at as usize).checked_add(12)?)?;
        let big = btf.is_big_endian();
        let info = u32_at(record, 4, big)?;
        Some(Self {
            btf,
            id,
            tail: at + 12,
            name_off: u32_at(record, 0, big)?,
            info,
            size_or_type: u32_at(record, 8, big)?,
            kind: Kind::from_number((info >> 24) as u8 & 0x7f)?,
        })
    }

    /// The BTF that holds this type: the base's own for a base type seen through a split BTF.
    #[must_use]
    pub fn btf(&self) -> &'a Btf {
        self.btf
    }

    #[must_use]
    pub fn id(&self) -> u32 {
        self.id
    }

    #[inline]
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    #[must_use]
    pub fn name_off(&self) -> u32 {
        self.name_off
    }

    /// How many members, enumerators, parameters or variables follow.
    #[inline]
    #[must_use]
    pub fn vlen(&self) -> u32 {
        self.info & 0x00ff_ffff
    }

    /// Bit 31: bit fields in a struct, signedness of an enum, union of a FWD, attribute of a tag.
    #[inline]
    #[must_use]
    pub fn kind_flag(&self) -> bool {
        self.info >> 31 != 0
    }

    /// Bytes, for the kinds that state it; see [`Btf::size_of`] for all others.
    #[must_use]
    pub fn size(&self) -> Option<u32> {
        use Kind::{Datasec, Enum, Enum64, Float, Int, Struct, Union};
        matches!(
            self.kind,
            Int | Struct | Union | Enum | Enum64 | Datasec | Float
        )
        .then_some(self.size_or_type)
    }

    /// The type this one refers to: pointee, alias target, function prototype, return type, tagged type.
    #[must_use]
    pub fn type_id(&self) -> Option<u32> {
        use Kind::{
            Const, DeclTag, Func, FuncProto, Ptr, Restrict, TypeTag, Typedef, Var, Volatile,
        };
        matches!(
            self.kind,
            Ptr | Typedef
                | Volatile
                | Const
                | Restrict
                | Func
                | FuncProto
                | Var
                | DeclTag
                | TypeTag
        )
        .then_some(self.size_or_type)
    }

    /// The third word of the record as it is: a size or a type id by kind.
    #[must_use]
    pub fn raw_size_or_type(&self) -> u32 {
        self.size_or_type
    }

    #[inline]
    fn word(&self, index: u32) -> Option<u32> {
        let at = (self.tail as usize).checked_add(4 * index as usize)?;
        u32_at(self.btf.type_section(), at, self.btf.is_big_endian())
    }

    /// The words after the common part that belong to element `index` of `width` words.
    #[inline]
    fn element<const N: usize>(&self, index: u32) -> Option<[u32; N]> {
        if index >= self.vlen() {
            return None;
        }
        let mut words = [0; N];
        for (step, word) in words.iter_mut().enumerate() {
            *word = self.word(index * N as u32 + step as u32)?;
        }
        Some(words)
    }

    #[must_use]
    pub fn int(&self) -> Option<Int> {
        let word = (self.kind == Kind::Int).then(|| self.word(0))??;
        Some(Int {
            encoding: (word >> 24) as u8 & 0x0f,
            offset: (word >> 16) as u8,
            bits: word as u8,
        })
    }

    #[must_use]
    pub fn array(&self) -> Option<Array> {
        if self.kind != Kind::Array {
            return None;
        }
        Some(Array {
            element: self.word(0)?,
            index: self.word(1)?,
            count: self.word(2)?,
        })
    }

    #[inline]
    #[must_use]
    pub fn member(&self, index: u32) -> Option<Member<'a>> {
        if !self.kind.is_composite() {
            return None;
        }
        let [name_off, type_id, offset] = self.element::<3>(index)?;
        let (bit_offset, bitfield_size) = if self.kind_flag() {
            (offset & 0x00ff_ffff, offset >> 24)
        } else {
            (offset, 0)
        };
        Some(Member {
            btf: self.btf,
            name_off,
            type_id,
            bit_offset,
            bitfield_size,
        })
    }

    /// Members of a struct or union; nothing for other kinds.
    pub fn members(&self) -> impl Iterator<Item = Member<'a>> + use<'a> {
        let this = *self;
        (0..this.vlen()).map_while(move |index| this.member(index))
    }

    #[must_use]
    pub fn enumerator(&self, index: u32) -> Option<Enumerator<'a>> {
        match self.kind {
            Kind::Enum => {
                let [name_off, value] = self.element::<2>(index)?;
                let value = if self.kind_flag() {
                    i64::from(value as i32) as u64
                } else {
                    u64::from(value)
                };
                Some(Enumerator {
                    btf: self.btf,
                    name_off,
                    value,
                })
            }
            Kind::Enum64 => {
                let [name_off, low, high] = self.element::<3>(index)?;
                Some(Enumerator {
                    btf: self.btf,
                    name_off,
                    value: u64::from(high) << 32 | u64::from(low),
                })
            }
            _ => None,
        }
    }

    /// Constants of an ENUM or ENUM64; nothing for other kinds.
    pub fn enumerators(&self) -> impl Iterator<Item = Enumerator<'a>> + use<'a> {
        let this = *self;
        (0..this.vlen()).map_while(move |index| this.enumerator(index))
    }

    #[must_use]
    pub fn param(&self, index: u32) -> Option<Param<'a>> {
        if self.kind != Kind::FuncProto {
            return None;
        }
        let [name_off, type_id] = self.element::<2>(index)?;
        Some(Param {
            btf: self.btf,
            name_off,
            type_id,
        })
    }

    /// Parameters of a FUNC_PROTO; nothing for other kinds.
    pub fn params(&self) -> impl Iterator<Item = Param<'a>> + use<'a> {
        let this = *self;
        (0..this.vlen()).map_while(move |index| this.param(index))
    }

    #[must_use]
    pub fn section_var(&self, index: u32) -> Option<SectionVar> {
        if self.kind != Kind::Datasec {
            return None;
        }
        let [type_id, offset, size] = self.element::<3>(index)?;
        Some(SectionVar {
            type_id,
            offset,
            size,
        })
    }

    /// Variables of a DATASEC; nothing for other kinds.
    pub fn section_vars(&self) -> impl Iterator<Item = SectionVar> + use<'a> {
        let this = *self;
        (0..this.vlen()).map_while(move |index| this.section_var(index))
    }

    /// FUNC and VAR: 0 static, 1 global, 2 extern.
    #[must_use]
    pub fn linkage(&self) -> Option<u32> {
        match self.kind {
            Kind::Func => Some(self.vlen()),
            Kind::Var => self.word(0),
            _ => None,
        }
    }

    /// DECL_TAG: which member or parameter is tagged, -1 for the type itself.
    #[must_use]
    pub fn component_idx(&self) -> Option<i32> {
        (self.kind == Kind::DeclTag)
            .then(|| self.word(0))?
            .map(|word| word as i32)
    }

    /// The `info` word as it is: `vlen`, kind and kind flag together.
    #[must_use]
    pub fn raw_info(&self) -> u32 {
        self.info
    }
}
