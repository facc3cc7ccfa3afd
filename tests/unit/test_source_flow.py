"""Control flow of one function: order, ways out, what holds where."""

from __future__ import annotations

import pytest

from bpfsmith.source.flow import Flow, flow, ignored
from bpfsmith.source.rust import Expr, Let, SourceFile


class Body:
    """`fn f()` with this body; places are found by their text."""

    def __init__(self, body: str) -> None:
        self.file = SourceFile("a.rs", f"fn f() {{\n{body}\n}}\n".encode())
        self.flow: Flow = flow(self.file.items[0])

    def __getitem__(self, text: str) -> Expr:
        block = self.file.items[0].expr
        assert block is not None
        found = [one for one in block.within() if one.text == text]
        assert found, text
        return found[0]

    def let(self, name: str) -> Let:
        for block in self.file.of_kind("block"):
            for one in block.lets:
                if name in one.names:
                    return one
        raise AssertionError(name)

    def exit(self, start: str | Let, *stops: str) -> str | None:
        found = self.flow.escape(self[start] if isinstance(start, str) else start, [self[one] for one in stops])
        return f"{found.kind} {found.expr.text}" if found is not None else None

    def holds(self, text: str) -> list[tuple[str, bool]]:
        return [(one.text, value) for one, value in self.flow.conditions(self[text])]


def test_before() -> None:
    body = Body("a(); if c { b(); } else { return; } for i in n() { d(); } e();")
    assert body.flow.known
    assert body.flow.before(body["a()"], body["e()"])
    assert body.flow.before(body["b()"], body["e()"])  # the other way returns
    assert not body.flow.before(body["d()"], body["e()"])  # may run no round
    assert body.flow.before(body["n()"], body["d()"])
    assert not body.flow.before(body["e()"], body["a()"])
    assert not body.flow.before(body["a()"], body["a()"])


def test_operands_come_first() -> None:
    body = Body("x = f(g(), h()).m(k()); a && b();")
    assert body.flow.before(body["g()"], body["h()"])
    assert body.flow.before(body["f(g(), h())"], body["k()"])
    assert body.flow.before(body["k()"], body["x"])  # the right side of an assignment first
    assert body.flow.before(body["a"], body["b()"])


def test_may_follow() -> None:
    body = Body("loop { a(); if c() { break; } b(); } d();")
    assert body.flow.may_follow(body["b()"], body["a()"])  # in the next round
    assert body.flow.may_follow(body["a()"], body["d()"])
    assert not body.flow.may_follow(body["d()"], body["a()"])
    assert body.flow.before(body["c()"], body["d()"])
    assert not body.flow.before(body["b()"], body["d()"])


def test_labels() -> None:
    body = Body("'outer: loop { loop { a(); if c { break 'outer; } else { continue 'outer; } } b(); } d();")
    assert not body.flow.reached(body["b()"])
    assert body.flow.before(body["a()"], body["d()"])
    body = Body("let x = 'found: { if c { break 'found 1; } a(); 2 }; b();")
    assert not body.flow.before(body["a()"], body["b()"])
    assert body.flow.before(body["c"], body["b()"])


def test_between() -> None:
    body = Body("let v = get(); if c { remove(); } other(); use_(v); late();")
    texts = [one.text for one in body.flow.between(body.let("v"), body["use_(v)"])]
    assert "remove()" in texts
    assert "other()" in texts
    assert "late()" not in texts
    body = Body("loop { let v = get(); use_(v); remove(); }")
    assert "remove()" not in [one.text for one in body.flow.between(body["get()"], body["use_(v)"])]
    body = Body("let v = get(); loop { use_(v); remove(); }")
    assert "remove()" in [one.text for one in body.flow.between(body["get()"], body["use_(v)"])]
    body = Body("let v = get(); x.map(|k| remove(k)); use_(v);")
    assert "remove(k)" in [one.text for one in body.flow.between(body["get()"], body["use_(v)"])]


def test_exits() -> None:
    body = Body("a()?; if c { return 1; } if d { panic!(); } match e { 1 => std::process::exit(0), _ => 2 }")
    assert [one.kind for one in body.flow.exits()] == ["try", "return", "panic", "tail", "panic"]
    assert [one.kind for one in Body("loop {}").flow.exits()] == []
    assert [one.kind for one in Body("loop { break; }").flow.exits()] == ["tail"]


def test_escape() -> None:
    body = Body("let e = reserve()?; let v = arg()?; e.submit(0);")
    assert body.exit(body.let("e"), "e.submit(0)") == "try arg()?"
    assert body.exit("reserve()?", "e.submit(0)") == "try arg()?"
    assert body.exit(body.let("v"), "e.submit(0)") is None
    body = Body("let Some(e) = reserve() else { return; }; if c { e.discard(0); return; } e.submit(0);")
    assert body.exit(body.let("e"), "e.discard(0)", "e.submit(0)") is None
    assert body.exit(body.let("e"), "e.submit(0)") == "return return"
    body = Body("if let Some(e) = reserve() { let v = arg()?; e.submit(0); } else { return; }")
    assert body.exit("let Some(e) = reserve()", "e.submit(0)") == "try arg()?"
    assert body.exit("{ let v = arg()?; e.submit(0); }", "e.submit(0)") == "try arg()?"
    body = Body("match reserve() { Some(e) => { x()?; e.submit(0) } None => y()? }")
    assert body.exit("{ x()?; e.submit(0) }", "e.submit(0)") == "try x()?"
    assert body.exit("e.submit(0)") is not None


def test_conditions() -> None:
    body = Body("if a { return; } if b && c { x(); } else { y(); }")
    assert body.holds("x()") == [("a", False), ("b", True), ("c", True)]
    assert body.holds("y()") == [("a", False)]
    body = Body("if a || b { return; } let Some(v) = m.get(&k) else { return }; while !d { z(v); }")
    assert body.holds("z(v)") == [("a", False), ("b", False), ("m.get(&k)", True), ("d", False)]
    body = Body("if let Some(v) = m.get(&k) && v > 3 { x(); }")
    assert body.holds("x()") == [("let Some(v) = m.get(&k)", True), ("v > 3", True)]
    body = Body("match q { Some(v) if v > 3 => x(), _ if w => y(), _ => z() }")
    assert body.holds("x()") == [("v > 3", True)]
    assert body.holds("y()") == [("w", True)]
    assert body.holds("z()") == [("w", False)]


def test_conditions_of_what_changes() -> None:
    assert Body("if i < 4 { i += 1; x(i); }").holds("x(i)") == []
    assert Body("if i < 4 { fill(&mut i); x(i); }").holds("x(i)") == []
    assert Body("if i < 4 { x(i); i += 1; }").holds("x(i)") == [("i < 4", True)]


def test_closures_and_async_blocks_are_apart() -> None:
    body = Body("a(); x.map(|v| { if v { return; } b()?; c(); }); d();")
    assert [one.kind for one in body.flow.exits()] == ["tail"]
    assert body.flow.before(body["a()"], body["b()"])
    assert not body.flow.before(body["b()"], body["d()"])
    assert body.flow.before(body["b()"], body["c()"])
    assert body.holds("c()") == [("v", False)]
    body = Body("spawn(async move { loop { a(); } }); b();")
    assert body.flow.reached(body["b()"])
    assert body.flow.may_follow(body["a()"], body["a()"])


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("m.remove(&k);", "m.remove(&k)"),
        ("let _ = m.remove(&k);", "m.remove(&k)"),
        ("m.remove(&k).ok();", "m.remove(&k)"),
        ("drop(m.remove(&k));", "m.remove(&k)"),
        ("unsafe { m.remove(&k) };", "m.remove(&k)"),
        ("match x { 1 => a(), _ => b() }; c()", "a()"),
        ("if x { a() } else { b() } c()", "b()"),
    ],
)
def test_ignored(body: str, text: str) -> None:
    assert ignored(Body(body)[text])


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("m.remove(&k)", "m.remove(&k)"),
        ("let _r = m.remove(&k);", "m.remove(&k)"),
        ("m.remove(&k)?;", "m.remove(&k)"),
        ("if x() {} c()", "x()"),
        ("match x() { _ => 1 }; c()", "x()"),
        ("match y { _ if x() => 1 }; c()", "x()"),
    ],
)
def test_not_ignored(body: str, text: str) -> None:
    assert not ignored(Body(body)[text])


def test_too_much_is_left_alone() -> None:
    body = Body("a(); " + "x();" * 1200)
    assert not body.flow.known
    assert not body.flow.before(body["a()"], body["x()"])
    assert not body.flow.may_follow(body["a()"], body["x()"])
    assert list(body.flow.between(body["a()"], body["x()"])) == []
    assert body.flow.exits() == []
    assert not Body("a" + " + a" * 600).flow.known
    assert not Body("break;").flow.known
