//! Files as large as the formats allow, or that say they are: within the limits of every execution.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

#[path = "../../object/tests/support/mod.rs"]
mod support;

use bpfsmith_btf::{Array, Body, Builder as Types, Def, Kind, SectionVar};
use bpfsmith_fuzz::limits::judge;
use bpfsmith_fuzz::mutate;
use bpfsmith_fuzz::targets::by_name;
use bpfsmith_isa::{Endian, encode_all};
use support::*;

/// Runs a target on the bytes; within the limits, whatever the answer.
fn bear(what: &str, target: &str, data: &[u8]) {
    let target = by_name(target).unwrap();
    match judge(data.len(), || (target.run)(data)) {
        Ok(cost) => println!(
            "{what}: {} bytes, {:.2} s, {} KiB",
            data.len(),
            cost.seconds,
            cost.bytes >> 10
        ),
        Err(failure) if std::env::var_os("FUZZ_GO_ON").is_some() => {
            println!("FAIL {what}: {failure}");
        }
        Err(failure) => panic!("{what}: {failure}"),
    }
}

fn types(fill: impl FnOnce(&mut Types)) -> Vec<u8> {
    let mut out = Types::new(false);
    for access in ["0", "0:0", "0:0:0"] {
        out.string(access.as_bytes());
    }
    fill(&mut out);
    out.finish().unwrap()
}

fn of(kind: Kind, type_id: u32) -> Def {
    Def {
        name: b"t".to_vec(),
        body: Body::Of {
            kind,
            type_id,
            attribute: false,
        },
    }
}

fn composite(name: &str, members: impl IntoIterator<Item = u32>) -> Def {
    let members = members
        .into_iter()
        .map(|id| (Vec::new(), id, 0, 0))
        .collect();
    let body = Body::Composite {
        union: false,
        size: 8,
        bit_fields: false,
        members,
    };
    Def {
        name: name.as_bytes().to_vec(),
        body,
    }
}

fn huge_types() {
    let million = types(|out| {
        for id in 0..1_000_000_u32 {
            out.add(&of(Kind::Ptr, id / 2));
        }
    });
    bear("a million types", "btf", &million);
    let chain = types(|out| {
        for id in 2..200_000_u32 {
            out.add(&of(Kind::Typedef, id));
        }
        out.add(&of(Kind::Const, 1));
    });
    bear("a circle of typedefs", "btf", &chain);
    let arrays = types(|out| {
        for id in 2..1000_u32 {
            out.add(&Def {
                name: Vec::new(),
                body: Body::Array(Array {
                    element: id,
                    index: id,
                    count: u32::MAX,
                }),
            });
        }
    });
    bear("arrays of arrays", "btf", &arrays);
    let nested = types(|out| {
        for id in 0..200_u32 {
            out.add(&composite("", std::iter::repeat_n(id + 2, 300)));
        }
    });
    bear("anonymous structs in each other", "btf", &nested);
    let own = types(|out| {
        out.add(&composite("", std::iter::repeat_n(1, 60_000)));
    });
    bear("a struct of itself", "btf", &own);
}

/// The same BTF on both sides, and all kinds of relocations of its first types.
fn huge_relocations() {
    let btf = types(|out| {
        for id in 0..400_u32 {
            out.add(&composite("s", std::iter::repeat_n(id + 2, 100)));
        }
    });
    let mut data = (btf.len() as u32).to_le_bytes().to_vec();
    data.extend(&btf);
    data.extend(&btf);
    for number in 0..255_u32 {
        for word in [1 + number / 13, 1 + number % 3 * 2, number % 13] {
            data.extend(word.to_le_bytes());
        }
        data.extend([0_u8; 16]);
    }
    data.push(255);
    bear("CO-RE over anonymous members that multiply", "core", &data);
}

fn huge_objects() {
    let mut b = Builder::default();
    let xdp = b.code("xdp", &[exit(); 64]);
    for n in 0..1_000_000_u64 {
        b.symbol("x", (n % 3) as u8, (n % 4) as u8, xdp, n * 8 % 600, n);
    }
    bear("a million symbols", "object", &b.build());

    let mut b = Builder::default();
    let code: Vec<_> = std::iter::repeat_n(call(-1), 300_000)
        .chain([exit()])
        .collect();
    let xdp = b.code("xdp", &code);
    let kfunc = b.symbol("bpf_wq_set_callback_impl", WEAK, NOTYPE, 0, 0, 0);
    b.function("prog", xdp, 0, code.len() as u64);
    let relocs: Vec<(u64, u32)> = (0..300_000).map(|n| (n * 8, kfunc)).collect();
    b.relocs(xdp, &relocs);
    bear("300,000 relocated calls", "object", &b.build());

    let mut b = Builder::default();
    for _ in 0..65_000 {
        b.data(".data", &[]);
    }
    let xdp = b.code("xdp", &[exit()]);
    b.function("prog", xdp, 0, 1);
    bear("65,000 sections of one name", "object", &b.build());

    let mut b = Builder::default();
    for n in 0..30_000 {
        let section = b.code(if n % 2 == 0 { "xdp" } else { "tc" }, &[exit()]);
        b.function("prog", section, 0, 1);
    }
    bear("30,000 programs of one name", "object", &b.build());
}

/// What lies between file and answer must not multiply: names, members, records, callers.
fn products() {
    let mut b = Builder::default();
    let xdp = b.code("xdp", &[exit(); 20_000]);
    let data = b.data(".data", &[0; 8]);
    for n in 0..20_000_u64 {
        b.function("", xdp, n, 1);
        b.symbol("", GLOBAL, NOTYPE, 0, 0, 0);
        b.symbol("", GLOBAL, OBJECT, data, n, 8);
    }
    b.symbol(&"A".repeat(1 << 20), GLOBAL, OBJECT, data, 0, 8);
    let mut file = b.build();
    let symbols = mutate::section(&file, ".symtab").unwrap();
    for (index, at) in symbols.step_by(24).enumerate() {
        file[at..at + 4].copy_from_slice(&(index as u32 % 50_000).to_le_bytes());
    }
    bear("60,000 endless names", "object", &file);

    for (member, count) in [("pinning", 0), ("values", 0), ("type", 0), ("", 1)] {
        let btf = types(|out| {
            let members = (0..50_000)
                .map(|_| (member.as_bytes().to_vec(), 3, 0, 0))
                .collect();
            let body = Body::Composite {
                union: false,
                size: 8,
                bit_fields: false,
                members,
            };
            out.add(&Def {
                name: b"map".to_vec(),
                body,
            });
            let vars = (0..50_000_u32)
                .map(|n| SectionVar {
                    type_id: 4,
                    offset: n,
                    size: 8,
                })
                .collect();
            out.add(&Def {
                name: b".maps".to_vec(),
                body: Body::Datasec { size: 8, vars },
            });
            out.add(&of(Kind::Ptr, count));
            out.add(&Def {
                name: b"one".to_vec(),
                body: Body::Var {
                    type_id: 1,
                    linkage: 1,
                },
            });
        });
        let mut b = Builder::default();
        b.data(".BTF", &btf);
        b.data(".maps", &[0; 64]);
        let xdp = b.code("xdp", &[exit()]);
        b.function("prog", xdp, 0, 1);
        bear(
            &format!("50,000 maps of 50,000 members `{member}`"),
            "object",
            &b.build(),
        );
    }

    let mut btf = types(|out| {
        for _ in 0..20_000_u32 {
            let name = b"n".to_vec();
            out.add(&Def {
                name: name.clone(),
                body: Body::Var {
                    type_id: 1,
                    linkage: 2,
                },
            });
            let vars = vec![SectionVar {
                type_id: 1,
                offset: 0,
                size: 8,
            }];
            out.add(&Def {
                name,
                body: Body::Datasec { size: 8, vars },
            });
        }
        out.string(&b"B".repeat(1 << 20));
    });
    // A variable of 16 bytes, then a section of 24 with one element: each gets a name that runs to the end.
    for index in 0..20_000 {
        let at = 24 + index * 40;
        btf[at..at + 4].copy_from_slice(&(100 + 2 * index as u32).to_le_bytes());
        btf[at + 16..at + 20].copy_from_slice(&(101 + 2 * index as u32).to_le_bytes());
    }
    let mut b = Builder::default();
    b.data(".BTF", &btf);
    b.data(".data", &[0; 64]);
    let xdp = b.code("xdp", &[exit()]);
    b.function("prog", xdp, 0, 1);
    b.symbol("x", GLOBAL, NOTYPE, 0, 0, 0);
    bear("endless names in BTF", "object", &b.build());

    let mut b = Builder::default();
    let xdp = b.code("xdp", &[load(1, 0).as_slice(), &[exit(); 50_000]].concat());
    let data = b.data(".data", &[0; 8]);
    let var = b.symbol("var", GLOBAL, OBJECT, data, 0, 8);
    for _ in 0..50_000 {
        b.function("prog", xdp, 0, 3);
    }
    b.relocs(xdp, &vec![(0, var); 50_000]);
    bear(
        "50,000 programs at 50,000 relocations",
        "object",
        &b.build(),
    );

    // Every function is an asynchronous callback that calls one hub, which calls them all.
    let mut b = Builder::default();
    let count = 20_000_u64;
    let mut code: Vec<_> = (0..count).flat_map(|_| [call(-1), exit()]).collect();
    let hub = code.len() as u64;
    code.extend((0..count).map(|n| call((n * 2) as i32 - (hub + n + 1) as i32)));
    code.push(exit());
    for n in 0..count {
        code[n as usize * 2] = call((hub - n * 2 - 1) as i32);
    }
    let text = b.code(".text", &code);
    for n in 0..count {
        b.symbol("f", LOCAL, FUNC, text, n * 16, 16);
    }
    b.symbol("hub", LOCAL, FUNC, text, hub * 8, (count + 1) * 8);
    let section = b.symbol("", LOCAL, SECTION, text, 0, 0);
    let mut main = Vec::new();
    let mut relocs = Vec::new();
    for n in 0..count {
        relocs.push((main.len() as u64 * 8, section));
        let [low, high] = load(2, (n * 16) as i32);
        main.extend([low, high, insn(0x85, 0, 0, 0, 170)]);
    }
    main.push(exit());
    let xdp = b.code("xdp", &main);
    b.function("prog", xdp, 0, main.len() as u64);
    b.relocs(xdp, &relocs);
    bear("20,000 callbacks around one hub", "object", &b.build());
}

/// Every section in turn over the whole file, at its end, and 4 GiB long.
fn sections_everywhere() {
    let seed = bpfsmith_fuzz::seeds::objects(None)
        .into_iter()
        .max_by_key(Vec::len)
        .unwrap();
    let word = |data: &[u8], at: usize| u64::from_le_bytes(data[at..at + 8].try_into().unwrap());
    let table = word(&seed, 0x28) as usize;
    for header in (table..seed.len() - 63).step_by(64) {
        for (start, size) in [
            (0, seed.len() as u64),
            (seed.len() as u64, 1 << 32),
            (64, 1 << 32),
            (64, u64::MAX),
            (u64::MAX, 2),
        ] {
            let mut data = seed.clone();
            data[header + 24..header + 32].copy_from_slice(&start.to_le_bytes());
            data[header + 32..header + 40].copy_from_slice(&size.to_le_bytes());
            let target = by_name("object").unwrap();
            judge(data.len(), || (target.run)(&data)).unwrap();
        }
    }
    assert!(mutate::section(&seed, ".BTF").is_some());
}

fn huge_code() {
    let with = |code: &[_], choice: u8| {
        let mut data = vec![choice];
        data.extend(encode_all(code, Endian::Little));
        data
    };
    let ladder: Vec<_> = (0..200_000)
        .map(|n| insn(0x15, 1, 0, [1, 7, -9, 300][n % 4], 0))
        .chain([exit()])
        .collect();
    bear("200,000 branches", "isa", &with(&ladder, 0));
    let loops: Vec<_> = (0..30_000_i16)
        .map(|n| insn(0x15, 1, 0, -n - 1, 0))
        .chain([exit()])
        .collect();
    bear("30,000 loops in each other", "isa", &with(&loops, 0));
    let tables: Vec<_> = (0..60_000)
        .map(|n| {
            if n % 1000 == 0 {
                insn(0x0d, 1, 0, 0, 0)
            } else {
                mov(1, n)
            }
        })
        .collect();
    bear("jump tables everywhere", "isa", &with(&tables, 0xf0));
    let calls: Vec<_> = (0..100_000)
        .map(|n| {
            if n % 3 == 0 {
                exit()
            } else {
                call(n % 700 - 350)
            }
        })
        .collect();
    bear("calls everywhere", "isa", &with(&calls, 0x0e));
}

fn huge_texts() {
    bear(
        "deep brackets",
        "source",
        &b"fn f() { "
            .iter()
            .copied()
            .chain(b"(".repeat(1 << 20))
            .collect::<Vec<u8>>(),
    );
    bear("deep blocks", "source", &b"fn f() {".repeat(1 << 17));
    bear(
        "long operators",
        "source",
        &[b"const X: u8 = 0 ".to_vec(), b"+ 1 ".repeat(1 << 17)].concat(),
    );
    bear(
        "long paths",
        "source",
        &[b"use a".to_vec(), b"::a".repeat(1 << 18)].concat(),
    );
    bear(
        "nested generics",
        "source",
        &[b"type X = ".to_vec(), b"A<".repeat(1 << 17)].concat(),
    );
    bear("attributes", "source", &b"#[a]".repeat(1 << 17));
    bear("one long line", "asm", &b"r1 = 1 ".repeat(1 << 18));
    bear("many lines", "asm", &b"r1 = 1\n".repeat(1 << 18));
}

// One test for all: peak memory is counted for the whole process.
#[test]
fn extremes() {
    huge_types();
    huge_relocations();
    sections_everywhere();
    huge_objects();
    products();
    huge_code();
    huge_texts();
}
