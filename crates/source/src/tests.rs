use super::*;

fn kinds(facts: &Facts) -> Vec<String> {
    facts
        .exprs
        .iter()
        .map(|expr| format!("{:?}", expr.kind))
        .collect()
}

fn slice(text: &str, span: Span) -> String {
    text.chars()
        .skip(span.start as usize)
        .take((span.end - span.start) as usize)
        .collect()
}

const SAMPLE: &str = r##"#![no_std]
use aya_ebpf::{macros::{map, xdp as prog}, maps::*, programs::XdpContext};
/// Ünïcode before what follows.
#[map] // a map
static COUNTS: HashMap<u32, [u64; 2]> = HashMap::with_max_entries(1024, 0);
#[cfg(test)] mod tests { use super::*; #[test] fn t() { assert_eq!(x(1)?.y, vec![a.unwrap(); 3], "{}", b); } }
#[unsafe(no_mangle)]
pub unsafe extern "C" fn f<T>(ctx: XdpContext, (a, b): (u32, u32)) -> Result<u32, ()> {
    let _ = ctx.load(&a)?; m!( /* c */ x.y /* d */ , static , = , a b, $c ; );
    let mut m: HashMap<_, u32, u32> = HashMap::<_, u32, u32>::try_from(x.map_mut("ü").unwrap())?;
    match a { 0 => return Ok(1), n @ 1..=2 if n > 1 => {} Some(z) | Other(z) => loop { break; }, _ => panic!("no") }
    for i in 0..b { m[i as usize] /= b; }
    S { a, b: 1, ..Default::default() };
    <T as X>::g::<u32>(c"x", b'a', !-1);
    Ok(0)
}
macro_rules! m { ($x:expr) => { $x } }
"##;

#[test]
fn sample_gives_what_is_written() {
    let facts = facts(SAMPLE.as_bytes());
    assert!(facts.notes.is_empty(), "{:?}", facts.notes);
    let uses: Vec<_> = facts
        .uses
        .iter()
        .map(|it| (it.path.as_str(), it.name.as_str(), it.flags & 1))
        .collect();
    assert_eq!(
        uses,
        [
            ("aya_ebpf::macros::map", "map", 0),
            ("aya_ebpf::macros::xdp", "prog", 0),
            ("aya_ebpf::maps", "", 1),
            ("aya_ebpf::programs::XdpContext", "XdpContext", 0),
            ("super", "", 1)
        ]
    );
    let items: Vec<_> = facts
        .items
        .iter()
        .map(|it| (it.kind, it.name.as_str(), it.parent))
        .collect();
    assert_eq!(
        items,
        [
            ("static", "COUNTS", -1),
            ("mod", "tests", -1),
            ("fn", "t", 1),
            ("fn", "f", -1),
            ("macro_rules", "m", -1)
        ]
    );
    let counts = &facts.items[0];
    assert_eq!(slice(SAMPLE, counts.ty), "HashMap<u32, [u64; 2]>");
    assert!(
        slice(SAMPLE, counts.span).starts_with("static COUNTS"),
        "{:?}",
        slice(SAMPLE, counts.span)
    );
    let function = &facts.items[3];
    assert_eq!(
        function.flags,
        flag::PUB | flag::UNSAFE | flag::GENERIC | flag::EXTERN
    );
    assert_eq!(slice(SAMPLE, function.ty), "Result<u32, ()>");
    let attrs: Vec<_> = facts
        .attrs
        .iter()
        .map(|it| (it.path.as_str(), slice(SAMPLE, it.args), it.flags, it.owner))
        .collect();
    let some = |args: &str| args.to_owned();
    assert_eq!(
        attrs,
        [
            ("no_std", some(""), 5, -1),
            ("map", some(""), 4, 0),
            ("cfg", some("(test)"), 4, 1),
            ("test", some(""), 4, 2),
            ("no_mangle", some(""), 6, 3)
        ]
    );
    let kinds = kinds(&facts).join("\n");
    for part in [
        r#"Path("HashMap::try_from")"#,
        r#"Path("<>::g")"#,
        r#"Macro { path: "assert_eq""#,
        r#"Macro { path: "vec""#,
        r#"name: "unwrap""#,
        r#"Struct { path: "S""#,
        r#"Binary { op: "/=""#,
        r#"Lit("cstr")"#,
        "inclusive: false",
    ] {
        assert!(kinds.contains(part), "{part} in\n{kinds}");
    }
    let unwrap = facts
        .exprs
        .iter()
        .find(|it| slice(SAMPLE, it.span) == "a.unwrap()")
        .unwrap();
    assert!(unwrap.parent >= 0);
    let json = String::from_utf8(facts_json(SAMPLE.as_bytes())).unwrap();
    assert!(json.starts_with("{\"v\":1,\"lines\":[0,"));
}

#[test]
fn every_prefix_gives_facts() {
    for (at, _) in SAMPLE.char_indices() {
        let facts = facts(&SAMPLE.as_bytes()[..at]);
        assert!(
            facts.notes.iter().all(|note| note.kind != "unread"),
            "prefix of {at} bytes: {:?}",
            facts.notes
        );
        let chars = SAMPLE[..at].chars().count() as u32;
        assert!(
            facts
                .exprs
                .iter()
                .all(|it| it.span.start <= it.span.end && it.span.end <= chars),
            "prefix of {at} bytes"
        );
    }
}

#[test]
fn bytes_that_are_no_text() {
    let facts = facts(b"\xef\xbb\xbffn a\xff() { b(\xe2\x82, \x80) }");
    assert!(facts.notes.iter().any(|note| note.kind == "not-utf8"));
    assert_eq!(facts.items[0].kind, "fn");
    assert_eq!(facts.items[0].span.start, 1);
    for seed in 0..2000_u32 {
        let mut state = seed.wrapping_mul(2_654_435_761) | 1;
        let bytes: Vec<u8> = (0..seed % 97)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 17;
                state ^= state << 5;
                b"{}()[]<>;,.:!#'\"/*\\ \nfnletx1=&|\xc3\xa9\xff"[state as usize % 34]
            })
            .collect();
        assert!(
            super::facts(&bytes)
                .notes
                .iter()
                .all(|note| note.kind != "unread"),
            "{bytes:?}"
        );
    }
}

#[test]
fn deep_nesting_is_cut_and_the_rest_read() {
    let deep = 100_000;
    let cases = [
        format!("{}1{}", "(".repeat(deep), ")".repeat(deep)),
        format!("{}1", "(".repeat(deep)),
        format!("{}1{}", "[".repeat(deep), "]".repeat(deep)),
        format!("{}1{}", "{".repeat(deep), "}".repeat(deep)),
        format!("{}x", "!".repeat(deep)),
        format!("{}x", "-".repeat(deep)),
        format!("{}x", "&".repeat(deep)),
        format!("x{}", ".a()".repeat(deep)),
        format!("x{}", "?".repeat(deep)),
        format!("1{}", "+ 1".repeat(deep)),
        format!("x{}", " = x".repeat(deep)),
        format!("if a {{}} {}", "else if b {} ".repeat(deep)),
        format!("{}x", "|| ".repeat(deep)),
        format!("{}x", "return ".repeat(deep)),
        format!("x as {}T{}", "A<".repeat(deep), ">".repeat(deep)),
        format!("x as {}T", "*const ".repeat(deep)),
        format!("let {}y = 1", "&".repeat(deep)),
        format!("{}1{}", "a!(".repeat(deep), ")".repeat(deep)),
        format!("a!({})", "!".repeat(deep)),
        format!(
            "{}1{}",
            "!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!(".repeat(deep),
            ")".repeat(deep)
        ),
        format!("{}x{}", "match x { _ => ".repeat(deep), "}".repeat(deep)),
        format!("x{}", ".".repeat(deep)),
        format!("{}x", "'a: ".repeat(deep)),
        format!("{}x", "fn f() {".repeat(deep)),
        format!("{}x", "mod m {".repeat(deep)),
        format!("{}x", "for<'a> ".repeat(deep)),
        format!("x{}", "::a".repeat(deep)),
        format!("{}x{}", "<a as ".repeat(deep), ">".repeat(deep)),
    ];
    for case in cases {
        let text = format!("fn before() {{}}\nfn f() {{ {case}; }}\nfn after() {{}}\n");
        let facts = facts(text.as_bytes());
        let head: String = case.chars().take(20).collect();
        assert!(
            facts.notes.iter().all(|note| note.kind != "unread"),
            "{head}: {:?}",
            facts.notes
        );
        assert_eq!(facts.items[0].name, "before", "{head}");
        if case.matches(['(', '[', '{']).count() == case.matches([')', ']', '}']).count()
            && !head.contains("<a as")
        {
            assert!(
                facts.items.iter().any(|item| item.name == "after"),
                "{head}"
            );
        }
    }
}

#[test]
fn large_files_and_many_files() {
    let text = SAMPLE.repeat(6_000);
    let clock = std::time::Instant::now();
    let lines = facts_json(text.as_bytes())
        .iter()
        .filter(|byte| **byte == b'[')
        .count();
    println!(
        "{} bytes, {} arrays, {:?}",
        text.len(),
        lines,
        clock.elapsed()
    );
    assert!(facts(&vec![b' '; MAX_BYTES + 1]).notes[0].kind == "unread");
    let many = facts_json_many(&[b"fn a() {}", b"", b"fn b() {}"], 0);
    assert_eq!(many.len(), 3);
    assert_eq!(many[2], facts_json(b"fn b() {}"));
}
