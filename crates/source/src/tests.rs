use super::*;

fn facts(text: &[u8]) -> Facts {
    table(text).facts
}

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
    assert_eq!(facts.lines[..2], [0, 11]);
}

#[test]
fn every_prefix_gives_facts() {
    for (at, _) in SAMPLE.char_indices() {
        let facts = super::tests::facts(&SAMPLE.as_bytes()[..at]);
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
            super::tests::facts(&bytes)
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
    let exprs = facts(text.as_bytes()).exprs.len();
    println!(
        "{} bytes, {exprs} expressions, {:?}",
        text.len(),
        clock.elapsed()
    );
    assert!(facts(&vec![b' '; MAX_BYTES + 1]).notes[0].kind == "unread");
    let many = tables(&[b"fn a() {}", b"", b"fn b() {}"], 0);
    assert_eq!(many.len(), 3);
    assert_eq!(many[2].facts.items[0].name, "b");
}

/// The name `x` at the place marked `^`, and what binds it: how, the type, what is taken apart.
fn bound_at(text: &str) -> Option<(Binds, String, String)> {
    let at = text.find('^').unwrap() as u32;
    let text = text.replace('^', "");
    let table = table(text.as_bytes());
    let id = (table.facts.exprs.iter())
        .position(|expr| expr.span.start == at && slice(&text, expr.span) == "x");
    let found = table.binding(id.unwrap() as i32)?;
    let init = usize::try_from(found.init).map_or(String::new(), |init| {
        slice(&text, table.facts.exprs[init].span)
    });
    Some((found.binds, slice(&text, found.ty), init))
}

#[test]
fn local_names_are_bound() {
    let cases = [
        ("let x: u8 = a; ^x", Some((Binds::Let, "u8", "a"))),
        ("let x = a; let x = b; ^x", Some((Binds::Let, "", "b"))),
        ("let x = a; let x = ^x;", Some((Binds::Let, "", "a"))),
        ("let x = a; { let x = b; } ^x", Some((Binds::Let, "", "a"))),
        ("let Some(x) = a else { return ^x };", None),
        (
            "let Some(x) = a else { return }; ^x",
            Some((Binds::Let, "", "a")),
        ),
        ("if let Some(x) = a { ^x }", Some((Binds::Pattern, "", "a"))),
        ("if let Some(x) = a {} else { ^x }", None),
        (
            "if let Some(x) = a && ^x {}",
            Some((Binds::Pattern, "", "a")),
        ),
        (
            "if let Some(x) = a && let Some(x) = b && c { ^x }",
            Some((Binds::Pattern, "", "b")),
        ),
        (
            "if let Some(x) = a && let Some(x) = ^x {}",
            Some((Binds::Pattern, "", "a")),
        ),
        ("if f(|| if let Some(x) = a {}) { ^x }", None),
        (
            "while let Some(x) = a.next() { ^x }",
            Some((Binds::Pattern, "", "a.next()")),
        ),
        ("for x in a { ^x }", Some((Binds::Pattern, "", "a"))),
        ("for x in ^x {}", None),
        (
            "match a { Some(x) => ^x, _ => b }",
            Some((Binds::Pattern, "", "a")),
        ),
        (
            "match a { Some(x) if ^x => b, _ => c }",
            Some((Binds::Pattern, "", "a")),
        ),
        (
            "match a { Some(y) if let Some(x) = y => ^x, _ => c }",
            Some((Binds::Pattern, "", "y")),
        ),
        ("match a { Some(x) => b, _ => ^x }", None),
        ("a(|x: u8| ^x)", Some((Binds::Param, "u8", ""))),
        ("a(|(x, y)| ^x)", Some((Binds::Pattern, "", ""))),
        ("let x = a; b(|y| ^x)", Some((Binds::Let, "", "a"))),
        ("let x = a; fn g(y: u8) { ^x }", None),
        ("let x = a; m!(^x)", Some((Binds::Let, "", "a"))),
    ];
    for (body, want) in cases {
        let want = want.map(|(binds, ty, init)| (binds, ty.to_owned(), init.to_owned()));
        assert_eq!(bound_at(&format!("fn f() {{ {body} }}")), want, "{body}");
    }
    let params = bound_at("fn f(&self, x: &u8) { ^x }").unwrap();
    assert_eq!((params.0, params.1.as_str()), (Binds::Param, "&u8"));
    assert_eq!(
        bound_at("fn f((x, y): (u8, x)) { ^x }").unwrap().0,
        Binds::Pattern
    );
    assert!(bound_at("static A: u8 = ^x;").is_none());
}

#[test]
fn words_are_whole_and_comments_none() {
    let table =
        table(b"/// doc\nfn f() { a.load_file(\"xdp tc\") /* gone */ ; #[x] m!(tok); } // end\n");
    for word in ["fn", "load_file", "xdp", "tc", "m", "tok", "x"] {
        assert!(table.has(word), "{word}");
    }
    for word in ["load", "doc", "gone", "end", "file", "to"] {
        assert!(!table.has(word), "{word}");
    }
    assert_eq!(table.with(Role::Method, "load_file").count(), 1);
    assert_eq!(table.with(Role::Macro, "m").count(), 1);
    assert_eq!(table.with(Role::Attr, "x").count(), 1);
}

#[test]
fn nested_items_are_not_inside() {
    let table = table(b"fn f() { a(); fn g() { b(); } c(); }");
    let block = table.facts.items[0].expr;
    let paths: Vec<_> = (table.within(block))
        .filter_map(|id| match table.kind(id) {
            Some(ExprKind::Path(path)) => Some(path.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(paths, ["a", "c"]);
}

#[test]
fn what_is_too_long_is_cut() {
    let body = "let x = f(1);\n".repeat(5000);
    let text = format!("fn before() {{}} fn f() {{ {body} x }} fn after() {{ let y = 1; }}");
    let facts = facts(text.as_bytes());
    assert!(facts.notes.iter().any(|note| note.kind == "length"));
    assert!(facts.exprs.len() < 4000, "{}", facts.exprs.len());
    assert_eq!(facts.items.len(), 3);
    let deep = "{ let x = f(1, 2, 3, 4, 5, 6, 7, 8, 9, g(1, 2, 3, 4, 5, 6)); }\n".repeat(30);
    let wide = format!("if a {{ {deep} }}").repeat(900);
    let facts = super::tests::facts(format!("fn f() {{ {wide} }} fn after() {{ 1 }}").as_bytes());
    assert!(facts.exprs.len() < 25_000, "{}", facts.exprs.len());
    assert_eq!(facts.items[1].name, "after");
    let args = "a.b(c)?, ".repeat(200_000);
    assert!(
        super::tests::facts(format!("m! {{ {args} }}").as_bytes())
            .exprs
            .len()
            < 10_000
    );
}
