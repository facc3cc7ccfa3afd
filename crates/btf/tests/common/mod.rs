//! Hand-built BTFs for the tests.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::expect_used,
    reason = "helpers of tests, each of which uses its own part"
)]
use bpfsmith_btf::{Array, Body, Btf, Builder, Def, Int, Kind, SectionVar};

pub fn name(text: &str) -> Vec<u8> {
    text.as_bytes().to_vec()
}

/// Adds types by short words.
pub struct Make {
    pub builder: Builder,
}

impl Make {
    pub fn new(big_endian: bool) -> Self {
        Self {
            builder: Builder::new(big_endian),
        }
    }

    pub fn add(&mut self, text: &str, body: Body) -> u32 {
        self.builder.add(&Def {
            name: name(text),
            body,
        })
    }

    pub fn int(&mut self, text: &str, size: u32, signed: bool) -> u32 {
        let int = Int {
            encoding: u8::from(signed),
            offset: 0,
            bits: (size * 8) as u8,
        };
        self.add(text, Body::Int { size, int })
    }

    pub fn of(&mut self, kind: Kind, text: &str, type_id: u32) -> u32 {
        self.add(
            text,
            Body::Of {
                kind,
                type_id,
                attribute: false,
            },
        )
    }

    pub fn array(&mut self, element: u32, count: u32) -> u32 {
        self.add(
            "",
            Body::Array(Array {
                element,
                index: 1,
                count,
            }),
        )
    }

    /// Members are (name, type, bit offset).
    pub fn structure(&mut self, text: &str, size: u32, members: &[(&str, u32, u32)]) -> u32 {
        self.composite(false, text, size, members)
    }

    pub fn composite(
        &mut self,
        union: bool,
        text: &str,
        size: u32,
        members: &[(&str, u32, u32)],
    ) -> u32 {
        let members = members
            .iter()
            .map(|&(text, id, offset)| (name(text), id, offset, 0))
            .collect();
        self.add(
            text,
            Body::Composite {
                union,
                size,
                bit_fields: false,
                members,
            },
        )
    }

    /// Members are (name, type, bit offset, width).
    pub fn bits(&mut self, text: &str, size: u32, members: &[(&str, u32, u32, u32)]) -> u32 {
        let members = members
            .iter()
            .map(|&(text, id, offset, width)| (name(text), id, offset, width))
            .collect();
        self.add(
            text,
            Body::Composite {
                union: false,
                size,
                bit_fields: true,
                members,
            },
        )
    }

    pub fn enumeration(&mut self, text: &str, values: &[(&str, u64)]) -> u32 {
        let values = values
            .iter()
            .map(|&(text, value)| (name(text), value))
            .collect();
        self.add(
            text,
            Body::Enum {
                wide: false,
                signed: false,
                size: 4,
                values,
            },
        )
    }

    pub fn proto(&mut self, returns: u32, params: &[(&str, u32)]) -> u32 {
        let params = params.iter().map(|&(text, id)| (name(text), id)).collect();
        self.add("", Body::FuncProto { returns, params })
    }

    pub fn bytes(&self) -> Vec<u8> {
        self.builder.finish().expect("small")
    }

    pub fn btf(&self) -> Btf {
        Btf::parse(self.bytes()).expect("what we write, we read")
    }
}

/// One type of every kind, with the odd corners.
pub fn every_kind(big_endian: bool) -> Make {
    let mut make = Make::new(big_endian);
    let int = make.int("int", 4, true); // 1
    let byte = make.add(
        "char",
        Body::Int {
            size: 1,
            int: Int {
                encoding: 2,
                offset: 3,
                bits: 8,
            },
        },
    );
    let long = make.int("long unsigned int", 8, false);
    let flag = make.add(
        "_Bool",
        Body::Int {
            size: 1,
            int: Int {
                encoding: 4,
                offset: 0,
                bits: 8,
            },
        },
    );
    let pointer = make.of(Kind::Ptr, "", int);
    let array = make.array(byte, 16);
    let inner = make.composite(true, "", 8, &[("first", long, 0), ("second", int, 0)]);
    let outer = make.structure(
        "outer",
        40,
        &[
            ("a", int, 0),
            ("", inner, 64),
            ("text", array, 128),
            ("p", pointer, 256),
        ],
    );
    make.bits(
        "flags",
        8,
        &[("low", int, 0, 3), ("whole", int, 32, 0), ("", int, 3, 5)],
    );
    make.enumeration("colour", &[("RED", 0), ("BLUE", 0xffff_ffff)]);
    let values = vec![(name("LOWEST"), u64::MAX - 4), (name("ZERO"), 0)];
    make.add(
        "signed_colour",
        Body::Enum {
            wide: false,
            signed: true,
            size: 4,
            values: values.clone(),
        },
    );
    make.add(
        "wide",
        Body::Enum {
            wide: true,
            signed: true,
            size: 8,
            values: values.clone(),
        },
    );
    make.add(
        "wide_unsigned",
        Body::Enum {
            wide: true,
            signed: false,
            size: 8,
            values,
        },
    );
    make.add("later", Body::Fwd { union: true });
    make.add("sooner", Body::Fwd { union: false });
    let alias = make.of(Kind::Typedef, "alias_t", outer);
    let constant = make.of(Kind::Const, "", alias);
    let volatile = make.of(Kind::Volatile, "", constant);
    make.of(Kind::Restrict, "", pointer);
    make.of(Kind::TypeTag, "user", volatile);
    make.add(
        "aligned(8)",
        Body::Of {
            kind: Kind::TypeTag,
            type_id: volatile,
            attribute: true,
        },
    );
    let proto = make.proto(int, &[("left", pointer), ("", 0)]);
    let func = make.add("work", Body::Func { proto, linkage: 1 });
    make.add("helper", Body::Func { proto, linkage: 2 });
    let var = make.add(
        "counter",
        Body::Var {
            type_id: long,
            linkage: 1,
        },
    );
    let vars = vec![
        SectionVar {
            type_id: var,
            offset: 0,
            size: 8,
        },
        SectionVar {
            type_id: 9999,
            offset: 8,
            size: 1,
        },
    ];
    make.add(".bss", Body::Datasec { size: 16, vars });
    make.add("double", Body::Float { size: 8 });
    make.add(
        "note",
        Body::DeclTag {
            type_id: outer,
            component_idx: -1,
            attribute: false,
        },
    );
    make.add(
        "noted",
        Body::DeclTag {
            type_id: func,
            component_idx: 1,
            attribute: true,
        },
    );
    make.of(Kind::Typedef, "bool_t", flag);
    make
}

/// Numbers that are the same on every run.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }
}
