"""The families of messages: the rows of the knowledge base in its order, our own (loaders, newer kernels) from V60."""

from __future__ import annotations

import os

__all__ = ["FAMILIES", "Family", "family", "folder"]


class Family:
    """One family: `code` (`V06`), `name` (`unchecked-null`), `title`; its page's parts are read when asked for.

    `meaning`: what the kernel says with it; `causes`: `{"rust": (..), "c": (..)}`; `fixes`: the usual one first;
    `kernels`: what differs between versions; `classes`: the classes of causes it comes from, the commonest first.
    """

    __slots__ = ("_parts", "code", "name", "title")

    def __init__(self, code: str, name: str, title: str) -> None:
        self.code = code
        self.name = name
        self.title = title
        self._parts: dict[str, str] | None = None

    def __repr__(self) -> str:
        return f"<Family {self.code} {self.name}>"

    @property
    def page(self) -> str:
        """The whole page, Markdown: what is written about it, and the kernel's formats by version."""
        return f"{self._text()}\n## Messages\n\n{_formats(self.code)}"

    def _text(self) -> str:
        with open(os.path.join(folder(), f"{self.code}.md"), encoding="utf-8") as file:
            return file.read()

    @property
    def meaning(self) -> str:
        """What the kernel says with it."""
        return self._part("meaning")

    @property
    def causes(self) -> dict[str, tuple[str, ...]]:
        """What usually leads to it: `{"rust": (..), "c": (..)}`."""
        return {"rust": _points(self._part("in rust with aya")), "c": _points(self._part("in c"))}

    @property
    def fixes(self) -> tuple[str, ...]:
        """What usually helps, the commonest first."""
        return _points(self._part("fixes"))

    @property
    def kernels(self) -> str:
        """What differs between kernels: who says it, in which words."""
        return self._part("kernels")

    @property
    def classes(self) -> tuple[str, ...]:
        """Classes of causes it comes from, the commonest first."""
        return tuple(word.strip(" `") for word in self._part("classes").split(",") if word.strip())

    def _part(self, name: str) -> str:
        if self._parts is None:
            try:
                self._parts = _read(self._text())
            except OSError:  # an installation without its pages still names families
                self._parts = {}
        return self._parts.get(name, "")


def _read(page: str) -> dict[str, str]:
    """The page by headings; `classes` is a line below the first one."""
    out: dict[str, str] = {}
    heading = ""
    for line in page.splitlines():
        if line.startswith("## "):
            heading = line[3:].strip().lower()
        elif not heading and line.startswith("Classes: "):
            out["classes"] = line[len("Classes: ") :].strip()
        elif heading:
            out[heading] = f"{out.get(heading, '')}\n{line}".strip("\n")
    return out


def _formats(code: str) -> str:
    """`* `R%d !read_ok` (4.18 .. 7.3)` for each format; whole lines, no pieces."""
    from bpfsmith.verify.messages._rows import rows

    out = []
    for row in rows():
        if row.family == code and row.kind != "part":
            seen = row.first if row.first == row.last else f"{row.first} .. {row.last}"
            often = ", also before other messages" if row.kind == "weak" else ""
            out.append(f"* `{row.format}` ({seen}{often})\n")
    return "".join(out)


def _points(text: str) -> tuple[str, ...]:
    """The points of a list, each on one line."""
    out: list[str] = []
    for line in text.splitlines():
        if line.startswith("* "):
            out.append(line[2:].strip())
        elif line.strip() and out:
            out[-1] = f"{out[-1]} {line.strip()}"
    return tuple(out)


def folder() -> str:
    """Where the pages are."""
    return os.path.join(os.path.dirname(os.path.abspath(__file__)), "pages")


def family(code: str) -> Family:
    """A family by code or name. `LookupError`: there is none of that name."""
    wanted = code.strip().lower()
    for one in FAMILIES:
        if wanted in (one.code.lower(), one.name):
            return one
    raise LookupError(f"no family of verifier messages is called `{code}`")


FAMILIES: tuple[Family, ...] = tuple(
    Family(*line.split("|"))
    for line in """\
V01|uninitialised-register|a register is read before anything wrote it
V02|uninitialised-stack|stack bytes are read before anything wrote them
V03|stack-bounds|an access outside the stack, or at an offset nobody knows
V04|spilled-pointer|a pointer saved on the stack is overwritten, cut or handed out
V05|stack-size|the stack is too large or the calls are too deep
V06|unchecked-null|a pointer that may be null is used unchecked
V07|pointer-became-number|a number is used as a pointer
V08|packet-bounds|packet bytes are accessed that no check covers
V09|memory-bounds|an access outside a map value or another region of memory
V10|helper-length|a length given to a helper is not bounded
V11|pointer-arithmetic|arithmetic that this kind of pointer does not take
V12|pointer-offset-range|a pointer is moved by an amount that is too large or unknown
V13|modified-pointer|a typed pointer is used after it was moved
V14|context-field|bytes of the context that this program may not access so
V15|typed-region|bytes of a socket, flow keys or a buffer outside of what is allowed
V16|btf-pointer|an access to a kernel structure that its BTF or the rules do not allow
V17|read-only|memory that may not be written is written
V18|pointer-leak|an address would leave the kernel
V19|alignment|an access is not aligned as this memory wants
V20|helper-argument|a helper gets another kind of argument than it wants
V21|constant-wanted|a value must be known when the program is verified
V22|helper-not-available|this program may not call this helper
V23|map-or-program-type|a map and a program, or a helper, do not go together
V24|loading-constants|an address that the loader should have put in is not right
V25|control-flow|code that cannot be reached, or a jump that leads nowhere
V26|encoding|an instruction this kernel does not take
V27|complexity|too much for the verifier to follow
V28|endless-loop|a loop in which nothing changes
V29|references|something acquired is not released, or released wrongly
V30|locks|a lock, or what it protects, is used wrongly
V31|sleeping-and-sections|a call that is not allowed where it stands: it may sleep, or a section is open
V32|special-fields|a timer, kptr, lock or other field of the kernel's in a map value is used wrongly
V33|dynptr|a dynptr is used wrongly
V34|iterators|an iterator is used wrongly
V35|kfunc-not-available|this program may not call this kernel function
V36|kfunc-argument|a kernel function gets another kind of argument than it wants
V37|subprogram-contract|a global function's arguments or result are not what its BTF allows
V38|callbacks|a callback function is not what the helper needs
V39|exceptions|an exception, or its callback, is used wrongly
V40|return-value|the program returns what this hook does not take
V41|tail-calls|a tail call that is not possible here
V42|legacy-packet-loads|a classic packet load that is not possible here
V43|btf-metadata|the object's BTF, line or function information is not right
V44|attach-target|what the program wants to attach to does not exist or may not be attached to
V45|unprivileged|arithmetic that is refused without CAP_PERFMON
V46|arena|an arena is used wrongly or is not available
V47|jit|what only a JIT can do, without one
V48|kernel-bug|the verifier contradicts itself
V60|core-relocation|a field or type the object was built for is not in this kernel
V61|kernel-btf|the kernel's own BTF was not found
V62|map-creation|a map could not be created
V63|permission|the kernel refuses the caller, not the program
V64|attach-lookup|the loader did not find what to attach to
V65|object-file|the loader does not understand the object
V66|log-buffer|the log did not fit into its buffer
V67|no-log|the kernel refused without a word
V68|signed-programs|a signed program, or what it uses, is not covered by its signature
V69|locked-memory|the limit of locked memory is too low""".splitlines()
)
