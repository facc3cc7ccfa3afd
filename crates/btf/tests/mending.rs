//! BTF as kernels refuse it, and what is made of it. `kernel/bpf/btf.c` has the rules.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests"
)]

use bpfsmith_btf::{Array, Body, Btf, Builder, Def, Draft, Int, Kind, Lacking, SectionVar, mend};

fn def(name: &str, body: Body) -> Def {
    Def {
        name: name.as_bytes().to_vec(),
        body,
    }
}

fn int(name: &str, size: u32) -> Def {
    let int = Int {
        encoding: 0,
        offset: 0,
        bits: (size * 8) as u8,
    };
    def(name, Body::Int { size, int })
}

fn of(kind: Kind, name: &str, type_id: u32) -> Def {
    def(
        name,
        Body::Of {
            kind,
            type_id,
            attribute: false,
        },
    )
}

fn members(list: &[(&str, u32, u32)]) -> Vec<(Vec<u8>, u32, u32, u32)> {
    list.iter()
        .map(|(name, id, bit)| (name.as_bytes().to_vec(), *id, *bit, 0))
        .collect()
}

fn composite(name: &str, size: u32, list: &[(&str, u32, u32)]) -> Def {
    def(
        name,
        Body::Composite {
            union: false,
            size,
            bit_fields: false,
            members: members(list),
        },
    )
}

fn mended_for(defs: &[Def], lacking: Lacking) -> Btf {
    let mut builder = Builder::new(false);
    for def in defs {
        builder.add(def);
    }
    let btf = Btf::parse(builder.finish().unwrap()).unwrap();
    let mut draft = Draft::new(&btf);
    mend(&mut draft, &btf, lacking);
    Btf::parse(draft.finish().unwrap()).unwrap()
}

fn mended(defs: &[Def]) -> Btf {
    mended_for(defs, Lacking::default())
}

fn names(btf: &Btf) -> Vec<String> {
    btf.own_types().map(|ty| ty.name().into_owned()).collect()
}

#[test]
fn what_kernels_take_stays_as_it_is() {
    let proto = Body::FuncProto {
        returns: 1,
        params: vec![(b"ctx".to_vec(), 2)],
    };
    let defs = [
        int("u32", 4),
        of(Kind::Ptr, "", 0),
        composite("pair", 8, &[("a", 1, 0), ("b", 1, 32)]),
        def(
            "",
            Body::Array(Array {
                element: 3,
                index: 1,
                count: 4,
            }),
        ),
        def("", proto),
        def(
            "main",
            Body::Func {
                proto: 5,
                linkage: 1,
            },
        ),
        def(
            "counters.total",
            Body::Var {
                type_id: 4,
                linkage: 0,
            },
        ),
        def(
            ".data.x/y",
            Body::Datasec {
                size: 32,
                vars: vec![SectionVar {
                    type_id: 7,
                    offset: 0,
                    size: 32,
                }],
            },
        ),
        def(
            "tag: anything",
            Body::DeclTag {
                type_id: 3,
                component_idx: 1,
                attribute: false,
            },
        ),
    ];
    let mut builder = Builder::new(false);
    for def in &defs {
        builder.add(def);
    }
    let bytes = builder.finish().unwrap();
    assert_eq!(
        Btf::parse(bytes.clone()).unwrap().dump_raw(),
        mended(&defs).dump_raw()
    );
    let btf = Btf::parse(bytes.clone()).unwrap();
    let mut draft = Draft::new(&btf);
    mend(&mut draft, &btf, Lacking::default());
    assert_eq!(draft.finish().unwrap(), bytes);
}

#[test]
fn names_of_generics_become_identifiers() {
    let long = "core::option::Option<".repeat(20);
    let btf = mended(&[
        int("u8", 1),
        composite("Option<u8>", 1, &[("__0", 1, 0)]),
        composite(&long, 1, &[]),
        of(Kind::Ptr, "*const u8", 1),
        def(
            "{closure#0}",
            Body::FuncProto {
                returns: 0,
                params: vec![],
            },
        ),
        def(
            "{impl#1}",
            Body::Func {
                proto: 5,
                linkage: 0,
            },
        ),
        of(Kind::Typedef, "", 1),
    ]);
    let names = names(&btf);
    assert_eq!(names[1], "Option_3C_u8_3E_");
    assert_eq!(names[2].len(), 127);
    assert!(names[2].starts_with("core_3A__3A_option"));
    assert_eq!(names[3..6], ["", "", "_7B_impl_23_1_7D_"]);
    assert_eq!(names[6], "unnamed");
}

#[test]
fn members_are_ordered_and_tags_follow_them() {
    let btf = mended(&[
        int("u32", 4),
        def("gone", Body::Fwd { union: false }),
        composite(
            "mixed",
            12,
            &[
                ("c", 1, 64),
                ("unsized", 2, 0),
                ("a", 1, 0),
                ("void", 0, 0),
                ("outside", 1, 96),
            ],
        ),
        def(
            "c",
            Body::DeclTag {
                type_id: 3,
                component_idx: 0,
                attribute: false,
            },
        ),
        def(
            "lost",
            Body::DeclTag {
                type_id: 3,
                component_idx: 1,
                attribute: false,
            },
        ),
    ]);
    let left: Vec<_> = btf
        .get(3)
        .unwrap()
        .members()
        .map(|m| (m.name().into_owned(), m.bit_offset))
        .collect();
    assert_eq!(left, [("a".to_owned(), 0), ("c".to_owned(), 64)]);
    assert_eq!(btf.get(4).unwrap().component_idx(), Some(1));
    assert_eq!(btf.get(5).unwrap().kind(), Kind::Int);
}

#[test]
fn functions_get_names_for_their_parameters_and_a_prototype() {
    let params = vec![(Vec::new(), 1), (b"unit".to_vec(), 0), (Vec::new(), 0)];
    let btf = mended(&[
        int("u32", 4),
        def("", Body::FuncProto { returns: 4, params }),
        def(
            "f",
            Body::Func {
                proto: 2,
                linkage: 2,
            },
        ),
        def("gone", Body::Fwd { union: false }),
        def(
            "g",
            Body::Func {
                proto: 1,
                linkage: 0,
            },
        ),
    ]);
    let proto = btf.get(2).unwrap();
    let shown: Vec<_> = proto
        .params()
        .map(|p| (p.name().into_owned(), p.type_id))
        .collect();
    assert_eq!(shown[0], ("arg1".to_owned(), 1));
    assert_eq!(shown[1].0, "unit");
    assert_eq!(btf.size_of(shown[1].1), Some(1));
    assert_eq!(
        shown[2],
        (String::new(), 0),
        "a variadic function stays one"
    );
    assert_eq!(proto.type_id(), Some(0));
    assert_eq!(btf.get(3).unwrap().linkage(), Some(1));
    assert_eq!(
        btf.get(btf.get(5).unwrap().type_id().unwrap())
            .unwrap()
            .kind(),
        Kind::FuncProto
    );
}

#[test]
fn sections_hold_what_fits_and_empty_ones_go() {
    let var = |type_id, offset, size| SectionVar {
        type_id,
        offset,
        size,
    };
    let vars = vec![
        var(3, 8, 4),
        var(2, 0, 4),
        var(2, 2, 4),
        var(1, 4, 4),
        var(4, 12, 0),
    ];
    let btf = mended(&[
        int("u32", 4),
        def(
            "b",
            Body::Var {
                type_id: 1,
                linkage: 2,
            },
        ),
        def(
            "a",
            Body::Var {
                type_id: 1,
                linkage: 1,
            },
        ),
        def(
            "_ZN4core$u20$",
            Body::Var {
                type_id: 0,
                linkage: 1,
            },
        ),
        def(".data", Body::Datasec { size: 12, vars }),
        def(
            ".empty",
            Body::Datasec {
                size: 0,
                vars: vec![var(2, 0, 4)],
            },
        ),
        def(
            ".nothing",
            Body::Datasec {
                size: 0,
                vars: vec![],
            },
        ),
    ]);
    let left: Vec<_> = btf
        .get(5)
        .unwrap()
        .section_vars()
        .map(|v| (v.type_id, v.offset))
        .collect();
    assert_eq!(left, [(2, 0), (3, 8)]);
    assert_eq!(btf.get(2).unwrap().linkage(), Some(1));
    assert_eq!(btf.get(4).unwrap().name(), "_ZN4core_24_u20_24_");
    assert_eq!(
        [6, 7].map(|id| btf.get(id).unwrap().kind()),
        [Kind::Int, Kind::Struct]
    );
}

#[test]
fn older_kernels_get_older_kinds_with_the_same_ids() {
    let mut all = Lacking::default();
    assert!(!all.set("nonsense"));
    assert!(Lacking::WORDS.iter().all(|word| all.set(word)));
    let vars = vec![SectionVar {
        type_id: 2,
        offset: 0,
        size: 4,
    }];
    let btf = mended_for(
        &[
            int("u32", 4),
            def(
                "v",
                Body::Var {
                    type_id: 1,
                    linkage: 1,
                },
            ),
            def(".data", Body::Datasec { size: 4, vars }),
            def("double", Body::Float { size: 8 }),
            def(
                "",
                Body::FuncProto {
                    returns: 1,
                    params: vec![(b"x".to_vec(), 1)],
                },
            ),
            def(
                "f",
                Body::Func {
                    proto: 5,
                    linkage: 1,
                },
            ),
            of(Kind::TypeTag, "user", 1),
            def(
                "tag",
                Body::DeclTag {
                    type_id: 6,
                    component_idx: -1,
                    attribute: false,
                },
            ),
            def(
                "big",
                Body::Enum {
                    wide: true,
                    signed: true,
                    size: 8,
                    values: vec![(b"A".to_vec(), 1 << 40)],
                },
            ),
        ],
        all,
    );
    let kinds: Vec<_> = btf.own_types().map(|ty| ty.kind()).collect();
    assert_eq!(
        kinds,
        [
            Kind::Int,
            Kind::Int,
            Kind::Struct,
            Kind::Struct,
            Kind::Enum,
            Kind::Typedef,
            Kind::Const,
            Kind::Int,
            Kind::Union,
            Kind::Int,
        ]
    );
    assert_eq!(btf.get(3).unwrap().name(), "_data");
    assert_eq!([4, 9].map(|id| btf.size_of(id)), [Some(8), Some(8)]);
}
