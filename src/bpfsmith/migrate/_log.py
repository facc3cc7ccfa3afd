"""The logger since aya-log 0.3: it is kept, and a task calls `flush` whenever there is something to read."""

from __future__ import annotations

from bpfsmith.source.names import resolve

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bpfsmith.source.cargo import Crate, Dependency
    from bpfsmith.source.rust import Expr, Item, SourceFile

__all__ = ["read_log", "tokio_feature"]

_INIT = frozenset(
    f"aya_log::{name}::{function}" for name in ("EbpfLogger", "BpfLogger") for function in ("init", "init_with_logger")
)
# Error types that an `io::Error` becomes by `?`.
_ERRORS = ("anyhow::", "eyre::", "Box<dyn", "io::Error", "io::Result")
_TASK = """\
tokio::task::spawn(async move {
    loop {
        let mut guard = logger.readable_mut().await.unwrap();
        guard.get_inner_mut().flush();
        guard.clear_ready();
    }
});"""


def read_log(file: SourceFile, crate: Crate) -> tuple[str, list[int]]:
    """(the text with a task for each logger that nobody reads, the lines of these). Only in `async` functions of crates
    that have tokio: where else the program waits for things, nobody but its author knows."""
    tokio = crate.dependency("tokio")
    edits = []
    if tokio is not None and tokio.alias == "tokio" and tokio.kind == "normal":
        for call in file.calls("init", "init_with_logger"):
            callee = call.callee
            item = call.item
            if callee is None or item is None or not item.async_ or item.kind != "fn":
                continue
            if resolve(file, callee.path, item) not in _INIT or any(one.kind == "closure" for one in call.ancestors()):
                continue
            edit = _edit(call, item)
            if edit is not None:
                edits.append((*edit, file.position(call.start)[0]))
    out = []
    at = 0
    for start, end, new, _ in sorted(edits):
        out += [file.text[at:start], new.replace("\n", "\r\n") if "\r\n" in file.text else new]
        at = end
    return "".join([*out, file.text[at:]]), [line for *_, line in sorted(edits)]


def _edit(call: Expr, item: Item) -> tuple[int, int, str] | None:
    """(start, end, new text) of the statement in which the logger is thrown away."""
    whole = call
    while whole.parent is not None and whole.parent.stripped() == call:
        whole = whole.parent
    parent = whole.parent
    if parent is None:
        return None
    if parent.kind == "block" and whole in parent.statements and whole != parent.tail:
        return _kept(whole, item)
    if parent.kind == "block":
        for let in parent.lets:
            if let.init == whole and let.pattern == "_" and whole == call:
                return let.start, let.end, _if_ok(call, item)
    if parent.kind == "let" and whole == call:
        return _if_err(parent, call, item)
    return None


def _kept(whole: Expr, item: Item) -> tuple[int, int, str] | None:
    """`Logger::init(&mut bpf)?;`"""
    if whole.kind == "call":
        return None  # its error is ignored too: a warning of the compiler
    text = whole.file.text
    end = whole.end
    while text[end : end + 1].isspace():
        end += 1
    if text[end : end + 1] != ";":
        return None
    made = f"{_async_fd(whole.text, item)}\n{_TASK}"
    return whole.start, end + 1, _indented(made, _indent(whole))


def _if_ok(call: Expr, item: Item) -> str:
    body = f"{_async_fd('logger', item)}\n{_TASK}"
    return _indented(f"if let Ok(logger) = {call.text} {{\n{_deeper(body)}\n}}", _indent(call))


def _if_err(let: Expr, call: Expr, item: Item) -> tuple[int, int, str] | None:
    """`if let Err(e) = Logger::init(&mut bpf) { .. }`"""
    whole = let.parent
    pattern = let.file.text[let.fields[0] : let.fields[1]]
    if whole is None or whole.kind != "if" or not pattern.startswith("Err"):
        return None
    _, then, other = whole.branches
    if then is None or other is not None or then.kind != "block":
        return None
    around = whole.parent
    if around is None or around.kind != "block" or whole not in around.statements:
        return None
    indent = _indent(whole)
    task = _deeper(f"{_async_fd('logger', item)}\n{_TASK}", 2)
    body = then.text.replace("\r\n", "\n")
    if not any("\n" in one.text for one in then.within() if one.kind == "lit"):
        body = body.replace("\n", "\n    ")
    # The body keeps its own indentation, so only what is new is indented here.
    head = f"match {call.text} {{\n{indent}    {pattern} => {body}\n"
    tail = _indented(f"    Ok(logger) => {{\n{task}\n    }}\n}}", indent)
    return whole.start, whole.end, f"{head}{indent}{tail}"


def _async_fd(logger: str, item: Item) -> str:
    """The statement that makes it. tokio 1.54 deprecates all its safe constructors, and older ones have no other."""
    made = f"tokio::io::unix::AsyncFd::with_interest({logger}, tokio::io::Interest::READABLE)"
    why = "// since tokio 1.54: `unsafe` and `register_with_interest`"
    return f"#[allow(deprecated)] {why}\nlet mut logger = {made}{_or_fail(item)};"


def _or_fail(item: Item) -> str:
    """`?` where the function's error takes it."""
    from bpfsmith.source.names import resolve as meant

    returned = item.type
    name = returned.partition("<")[0].strip()
    path = (meant(item.file, name, item.parent) or name) if name.replace(":", "").replace("_", "").isalnum() else ""
    if path.startswith(("anyhow::", "eyre::", "color_eyre::")) or any(one in returned for one in _ERRORS):
        return "?"
    return '.expect("the log can be waited for")'


def _indent(expr: Expr) -> str:
    start = expr.file.text.rfind("\n", 0, expr.start) + 1
    line = expr.file.text[start : expr.start]
    return line[: len(line) - len(line.lstrip())]


def _indented(text: str, indent: str) -> str:
    """All lines but the first."""
    return text.replace("\n", f"\n{indent}")


def _deeper(text: str, levels: int = 1) -> str:
    space = "    " * levels
    return "\n".join(space + line for line in text.split("\n"))


def tokio_feature(text: str, tokio: Dependency | None) -> tuple[str, int] | None:
    """(a manifest with tokio's feature `net`, the line); None when it has it, or does not ask for features."""
    if tokio is None:
        return None
    from bpfsmith.source.tomltext import read

    toml = read(text)
    for entry in toml.entries:
        if entry.path[-2:] != (tokio.alias, "features") or not _dependency_table(entry.path[:-2]):
            continue
        names = [text[start:end].strip("\"'") for start, end in entry.items]
        if not names or "net" in names or "full" in names:
            return None
        return _one_more(text, entry.items[-1], entry.end, '"net"'), text.count("\n", 0, entry.items[-1][0]) + 1
    return None


def _one_more(text: str, last: tuple[int, int], close: int, item: str) -> str:
    """The text with an item more at the end of an array; in a line of its own where the last one has one."""
    start, end = last
    before = text[text.rfind("\n", 0, start) + 1 : start]
    line_end = text.find("\n", end, close)
    if before.strip() or line_end < 0:
        return f"{text[:end]}, {item}{text[end:]}"
    comma = "" if text[end:line_end].lstrip().startswith(",") else ","
    rest = text[end:line_end].rstrip("\r")
    ending = text[end + len(rest) : line_end + 1]
    return f"{text[:end]}{comma}{rest}{ending}{before}{item},{text[end + len(rest) :]}"


def _dependency_table(path: tuple[str, ...]) -> bool:
    return path in {("dependencies",), ("workspace", "dependencies")} or (
        len(path) == 3 and path[0] == "target" and path[2] == "dependencies"
    )
