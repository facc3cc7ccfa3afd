"""Does a limit that was added follow from what is accessed, and is it asked of what the access is made with?

A test of some other number, or against a number that was made up, may satisfy the verifier by never letting the access
happen. Shown is only a limit of the very index, offset or length that the refused access names, which is the size of
what is accessed, or of which one more is refused by a kernel: then it is no smaller than it has to be. A number that
packets can have at most counts for offsets that were read from the packet.
"""

from __future__ import annotations

import re
from difflib import SequenceMatcher

from bpfsmith.repair.kept import Moved
from bpfsmith.verify.cause.names import literal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from bpfsmith.repair.judged import Why

__all__ = ["FAR", "known_sizes", "statements", "unfounded"]

FAR = 0x7FFF
"""What an offset in a packet is at most, as far as kernels track it."""

_COMPARED = re.compile(r"(.+?)\s*(>=|<=|>|<)\s*(.+)", re.DOTALL)
_CASTS = re.compile(
    r"\(\s*(?:unsigned|signed|long|int|__u\d+|u\d+|__s\d+|size_t|uint\d+_t|\s)+\s*\)|\bas\s+[ui](?:size|\d+)\b"
)
_WORD = re.compile(r"[A-Za-z_]\w*")
_NUMBER = re.compile(r"(0[xX][0-9a-fA-F_]+|\d[\d_]*)(?:[uUlL]+|[ui](?:size|\d+))?")
_NOT_NAMES = frozenset({"as", "usize", "sizeof", "size_of", "core", "mem", "unsafe", "if", "hint", "black_box", "mut"})
_STEPS = r"add|offset|wrapping_add|byte_add|get_unchecked|get_unchecked_mut|wrapping_offset|get|get_mut"
_ORDER = frozenset({"bpf_ntohs", "bpf_htons", "bpf_ntohl", "bpf_htonl", "bpf_be64_to_cpu", "bpf_cpu_to_be64"})


def unfounded(
    texts: Mapping[str, tuple[str, str]],
    refused: Sequence[tuple[str, int]],
    whys: Sequence[Why],
    sizes: Collection[int],
    needed: Callable[[str, str], bool] | None = None,
    also: str = "",
    *,
    inside: bool = False,
) -> str | None:
    """Why an added limit is not shown to be the right one, as a sentence; None when each is.

    texts: path -> (old, new); refused: (path, line) of the access in the old texts; sizes: numbers that the log and the
    types tell of what is accessed, in elements or bytes; needed: whether a kernel refuses it with this text of a path,
    in which a limit is one larger or a test is left out; also: statements that were refused after some of the changes;
    inside: what was added is a part of a condition that must hold."""
    moved = Moved(texts)
    access = also
    for line in refused:
        for path, number in moved.now(line):
            access += _statement(texts[path][1], number) if path in texts else ""
    for path, (_, new) in texts.items():
        access += _stepped(access, new) if path.endswith(".rs") else ""
    packet = any(one.family in ("V08", "V12") for one in whys)
    for path, (old, new) in texts.items():
        for whole, left, op, right in _limits(old, new):
            if inside and op in ("<", "<="):
                op = {"<": ">=", "<=": ">"}[op]  # noqa: PLW2901 - it is what must hold
            elif inside and not op:
                continue
            wrong = _limit(left, op, right, access, new, packet=packet, sizes=sizes)
            if wrong is None:
                continue
            looser = _looser(whole, op) if wrong.startswith(_PERHAPS) and new.count(whole) == 1 else ""
            no = "false" if path.endswith(".rs") else "0"
            if needed is None or not looser or not needed(path, new.replace(whole, looser.replace("\0", no))):
                return wrong.removeprefix(_PERHAPS)
    return None


def _stepped(access: str, text: str) -> str:
    """The statements of Rust in which pointers that an access goes through were moved: `let p = base.add(i);`."""
    out = ""
    for name in dict.fromkeys(_WORD.findall(access)):
        made = re.findall(rf"\blet\s+(?:mut\s+)?{name}\b[^=;]*=[^=;][^;]*;", text)
        out += "".join(
            one for one in made if re.search(rf"\.\s*(?:{_STEPS})(?:::<[^;]*>)?\(|\bfrom_raw_parts(?:_mut)?\(", one)
        )
    return out


def statements(texts: Mapping[str, str], lines: Sequence[tuple[str, int]]) -> str:
    """The statements at lines of texts."""
    return "".join(_statement(texts[path], line) for path, line in lines if path in texts)


_PERHAPS = "\0"  # before a reason that a kernel can refute


def _looser(whole: str, op: str) -> str:
    """A test that lets one more through; of one that has no limit `\\0`, for none at all."""
    if op not in (">", ">="):
        return "\0"
    found = re.fullmatch(r"(\s*)((?:->|[^<>])+?)(\s*>=?\s*)(.+?)(\s*)", whole, re.DOTALL)
    if found is None:
        return ""
    if _end(found[4]):
        return f"{found[1]}({found[2].strip()}) - 1{found[3]}{found[4]}{found[5]}"
    return f"{found[1]}{found[2]}{found[3]}({found[4]}) + 1{found[5]}"


def known_sizes(whys: Sequence[Why]) -> set[int]:
    """Numbers that the causes know of what is accessed: elements, bytes."""
    out: set[int] = set()
    for why in whys:
        for advice in why.cause.advice:
            for name in ("count", "limit", "elements", "max_index", "value_size", "mem_size", "size", "max"):
                value = advice.operands.get(name)
                if isinstance(value, int) and value > 1:
                    out.add(value)
    return out


def _limits(old: str, new: str) -> Iterator[tuple[str, str, str, str]]:
    """(the whole, left, operator, right) of the comparisons of numbers that are new."""
    before, after = old.split("\n"), new.split("\n")
    for tag, i1, i2, j1, j2 in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if tag in ("equal", "delete"):
            continue
        put, was = "\n".join(after[j1:j2]), "\n".join(before[i1:i2])
        for one in re.finditer(r"\bif\b", put):
            for part in re.split(r"\|\||&&", _condition(put, one.end())):
                if tag == "replace" and part.strip(" \t\n()") in was:
                    continue  # a part of the condition that stood there
                found = _COMPARED.fullmatch(part.strip().replace("->", "."))
                zero = re.fullmatch(r"(.+?)\s*==\s*0", part.strip(), re.DOTALL)
                if found is not None:
                    yield part.strip(), found[1].strip(), found[2], found[3].strip()
                elif zero is not None and not re.search(rf"\bif\b[^\n]*{re.escape(part.strip())}", old):
                    yield part.strip(), zero[1], "==", "0"
                elif _odd(part.strip()) and not re.search(rf"\bif\b[^\n]*{re.escape(part.strip())}", old):
                    yield part.strip(), part.strip(), "", ""


def _odd(test: str) -> bool:
    """A test that is neither a limit nor one of null or nothing: it may hold nearly always."""
    if "!=" in test or re.fullmatch(r"\w+", test):
        return True
    same = test.split("==")
    return len(same) == 2 and same[1].strip(" ()") not in ("0", "NULL", "None")


def _condition(text: str, at: int) -> str:
    """What stands behind an `if`: in parentheses in C, up to the brace in Rust."""
    start = at
    while start < len(text) and text[start].isspace():
        start += 1
    depth = 0
    for number in range(start, len(text)):
        depth += (text[number] == "(") - (text[number] == ")")
        if text[number] == "{" and depth == 0 and not text[:number].rstrip().endswith("unsafe"):
            return text[start:number]
        if text[start] == "(" and depth == 0 and text[number] == ")":
            rest = text[number + 1 :].lstrip()
            if rest.startswith(("return", "goto", "continue", "break", "{")):
                return text[start + 1 : number]
    return text[start:]


def _limit(  # noqa: PLR0911, PLR0912 - one return a kind
    left: str, op: str, right: str, access: str, text: str, *, packet: bool, sizes: Collection[int]
) -> str | None:
    if not op:
        return f"`{left}` is no limit of what is accessed"
    if _end(right):
        return _whole(left, access)
    if _end(left):
        return None  # the packet's end is compared with what is read
    plain = "".join(text.split())
    if op == ">=" and right.endswith(".len()"):
        base, index = "".join(right.removesuffix(".len()").split()), "".join(left.split())
        if any(
            f"{base}{form}" in plain
            for form in (f"[{index}]", f".get_unchecked({index})", f".get_unchecked_mut({index})")
        ):
            return None  # what the index itself would have panicked for
    if op == "==":
        divides = re.search(rf"[/%]\s*\(*\s*\**\(*{re.escape(left.strip('() '))}", access) is not None
        return None if divides else f"{_PERHAPS}`{left} == 0` leaves out what may be allowed"
    if op in ("<", "<="):
        if right not in ("0", "1"):
            return f"`{left} {op} {right}` is no limit of what is accessed"
        return None if (op, right) == ("<", "0") else f"{_PERHAPS}`{left} {op} {right}` leaves out what may be allowed"
    from bpfsmith.repair.c.number import looked_up

    value, shown = _CASTS.sub(" ", left).strip(" ()"), " ".join(left.split())
    names = [one for one in _WORD.findall(value) if one not in _NOT_NAMES]
    if not names:
        return f"`{shown}` is nothing of the program's"
    number = _NUMBER.fullmatch(right.strip(" ()"))
    limit = literal(number[1]) if number is not None else None
    if limit in (FAR, FAR + 1):
        through = packet and _used(value, access, text, through=True)
        if through and (_from_packet(names[0], text) or _compared(value, text)):
            return None
        return f"{right} is no limit that follows from what is accessed"
    moved = _moved(value, access, text) if not packet else ""
    if moved:
        return f"`{moved}` does not point to where what is accessed begins"
    how = _used(value, access, text, through=False)
    if not how and "from_raw_parts" in text:
        how = _used(value, access, text, through=True)  # the length of a slice that the access is given
    if not how:
        return f"`{shown}` is not what the refused access is made with"
    if any(right.strip() == looked_up(text, word) for word in set(_WORD.findall(access))):
        return None
    top = limit + 1 if limit is not None and op == ">" and how == "index" else limit
    if top is not None and (top in sizes or limit in sizes or top in _arrays(access, text, how)):
        return None
    if limit is None and _named(right, access, text, how):
        return None
    return f"{_PERHAPS}{right} is not known to be the size of what is accessed"


def _moved(value: str, access: str, text: str) -> str:
    """The pointer that an index is used with, where it was moved from the beginning of its memory: below 0 may be
    right then."""
    spaced = re.escape(" ".join(value.split())).replace("\\ ", r"\s*")
    plain = _CASTS.sub(" ", access.replace("->", "."))
    for one in re.finditer(rf"(?<![\w.])([A-Za-z_]\w*)\s*(?:\[|\+)\s*{spaced}(?!\w)", plain):
        if re.search(rf"(?<![\w.>*]){one[1]}\s*[-+]=|(?<![\w.>*]){one[1]}\s*=\s*[\w.>\-]+\s*[-+][^=;]*;", text):
            return one[1]
    return ""


def _whole(left: str, access: str) -> str | None:
    """Whether what is compared with the end of the packet is the end of what is read: one of the pointer's type."""
    plain = " ".join(_CASTS.sub(" ", left).split())
    one = re.search(
        r"&?\s*\b([A-Za-z_]\w*)(?:\s*\[[^\[\]]*\])?\s*(?:\+\s*1\b(?!\s*\+)|\.\s*(?:wrapping_)?add\(1\))", plain
    )
    sized = re.search(r"\b([A-Za-z_]\w*)\s*\+\s*(?:sizeof\s*\(|(?:core::mem::)?size_of)", plain)
    found = one or sized
    if found is not None and (not access.strip() or found[1] in _WORD.findall(access)):
        return None
    return f"{_PERHAPS}`{' '.join(left.split())}` is not known to be the end of what is read"


def _compared(value: str, text: str) -> bool:
    """Whether a pointer that a number is added to is compared with the end of the packet: with a number as large it
    would lie behind that in any packet."""
    spaced = re.escape(" ".join(value.split())).replace("\\ ", r"\s*")
    plain = _CASTS.sub(" ", text.replace("->", "."))
    for made in re.finditer(rf"\b(\w+)\s*(?::[^=;]*)?=[^=;][^;]*[+,(]\s*{spaced}(?!\w)[^;]*;", plain):
        if re.search(rf"\b{made[1]}\b[^;{{}}]*>=?\s*[^;{{}}]*\b\w*end\b", plain[made.end() :]):
            return True
    return False


def _end(text: str) -> bool:
    return re.search(r"\b\w*(?:end|meta)\b|\bdata\b", text) is not None and _NUMBER.fullmatch(text) is None


def _statement(text: str, line: int) -> str:
    """The line with what belongs to it: up to the ends of the statement."""
    lines = text.split("\n")
    if not 0 < line <= len(lines):
        return ""
    start = sum(len(one) + 1 for one in lines[: line - 1])
    end = start + len(lines[line - 1])
    while start > 0 and text[start - 1] not in ";{}":
        start -= 1
    while end < len(text) and text[end - 1] not in ";{}":
        end += 1
    return text[start:end] + "\n"


def _used(value: str, access: str, text: str, *, through: bool) -> str:
    """Whether the access is made with a value: as its `index`, or in `bytes` as a length it is given or as a step of
    its pointer; `through`: or its pointer was made with it."""
    spaced = re.escape(" ".join(value.split())).replace("\\ ", r"\s*")
    word = rf"(?<![\w.]){spaced}(?!\w)"
    plain = _CASTS.sub(" ", access.replace("->", "."))
    for one in re.finditer(word, plain):
        if plain[one.end() :].lstrip().startswith(("=", ">>", "<<", "->", ".")) and "==" not in plain[one.end() :][:3]:
            continue
        inside = _inside(plain, one.start())
        if inside:
            return inside
        if re.search(r"\+=?\s*\(*\s*$", plain[: one.start()]) and not re.match(r"[^;]*>>", plain[one.end() :]):
            return "bytes"
    if through:
        # A pointer that the access names, made by adding the value to one.
        for pointer in set(_WORD.findall(access)):
            for made in re.finditer(rf"\b{pointer}\s*(?::[^=;]*)?=[^=;][^;]*;", text):
                if re.search(rf"[+,(]\s*{word}", _CASTS.sub(" ", made[0].replace("->", "."))):
                    return "bytes"
    return ""


def _inside(text: str, at: int) -> str:
    """`index` of an offset in an index or step of a pointer, `bytes` of one in an argument of a helper, else ""."""
    depth = 0
    for number in range(at - 1, -1, -1):
        letter = text[number]
        if letter in ")]":
            depth += 1
        elif letter in "([":
            if depth:
                depth -= 1
                continue
            if letter == "[":
                return "index"
            called = re.search(r"(\w+)\s*$", text[:number])
            if called is not None:
                if re.fullmatch(_STEPS, called[1]):
                    return "index"
                lengths = r"bpf_\w+|from_raw_parts(?:_mut)?|load_bytes|output|copy(?:_\w+)?|write_bytes"
                return "bytes" if re.fullmatch(lengths, called[1]) else ""
    return ""


def _arrays(access: str, text: str, how: str) -> set[int]:
    """Elements (for an index) or bytes of the arrays that the access names."""
    out: set[int] = set()
    for name in set(_WORD.findall(access)):
        told = re.findall(rf"\b(\w+)[ \t]+{name}\s*\[\s*(\w+)\s*\]", text)
        told += re.findall(rf"\b{name}\s*:\s*(?:&\s*(?:'\w+\s+)?(?:mut\s+)?)?\[\s*(\w+)\s*;\s*(\w+)\s*\]", text)
        told += re.findall(rf"\blet\s+(?:mut\s+)?{name}\s*=\s*\[\s*(\w+)\s*;\s*(\w+)\s*\]", text)
        for kind, count in told:
            value = _value(count, text)
            if value:
                bits = re.search(r"(8|16|32|64)(?:_t)?$", kind)
                width = (
                    int(bits[1]) // 8 if bits is not None else {"char": 1, "short": 2, "int": 4, "long": 8}.get(kind, 1)
                )
                out.add(value if how == "index" else value * width)
        out |= _of_map(name, text)
    return out


def _of_map(name: str, text: str) -> set[int]:
    """Elements and bytes of the arrays that a map holds which a Rust local was looked up in."""
    out: set[int] = set()
    for made in re.findall(rf"\blet\b[^=;]*\b{name}\b[^=;]*=([^;]*);", text):
        if re.search(r"\bbpf_get_current_comm\(|\.\s*command\(", made):
            out.add(16)  # TASK_COMM_LEN
        for found in re.findall(r"\b(\w+)\s*\.\s*get(?:_ptr|_ptr_mut)?\s*\(", made):
            held = re.search(rf"\bstatic\s+(?:mut\s+)?{found}\s*:[^=]*\[\s*(\w+)\s*;\s*(\w+)\s*\]", text)
            count = _value(held[2], text) if held is not None else None
            if held is not None and count:
                bits = re.search(r"(8|16|32|64)$", held[1])
                out |= {count, count * (int(bits[1]) // 8 if bits is not None else 1)}
    return out


def _value(word: str, text: str) -> int | None:
    written = _NUMBER.fullmatch(word)
    if written is not None:
        return literal(written[1])
    name = re.escape(word)
    found = re.search(rf"#define\s+{name}\s+(\w+)|\bconst\s+{name}\s*:[^=]*=\s*(\w+)|\b{name}\s*=\s*(\w+)", text)
    told = next((one for one in found.groups() if one), "") if found is not None else ""
    number = _NUMBER.fullmatch(told)
    return literal(number[1]) if number is not None else None


def _named(limit: str, access: str, text: str, how: str) -> bool:
    """Whether a limit that is no number is the size of something the access names."""
    sized = re.findall(r"sizeof\s*\(\s*\*?\s*([\w.\->]+)", limit)
    if sized:
        whole = re.fullmatch(
            r"\(?\s*sizeof\s*\(\s*([^()]+?)\s*\)\s*(?:/\s*sizeof\s*\(\s*([^()]+?)\s*\[0\]\s*\)|-\s*\w+)?\s*\)?", limit
        )
        if whole is None or (whole[2] and (whole[2] != whole[1] or how != "index")) or "[" in whole[1]:
            return False
        less = re.search(r"-\s*(\w+)\s*\)?$", limit)
        if less is not None and not re.search(rf"\b{less[1]}\b", access):
            return False
        words = set(_WORD.findall(access))
        return all(_WORD.findall(one)[-1] in words for one in sized)
    value = _value(limit, text)
    return value is not None and value in _arrays(access, text, how)


def _from_packet(name: str, text: str, depth: int = 0) -> bool:
    """Whether a number was read from memory that no helper gave: all calls on the way only turn bytes around."""
    if depth > 4:
        return False
    found = re.findall(rf"(?<![\w.>])\b{re.escape(name)}\s*(?::[^=;]*)?=([^=;][^;]*);", text)
    for made in found:
        if any(one not in _ORDER for one in re.findall(r"\b(bpf_\w+)\s*\(", made)):
            return False
        base = re.search(r"\b(\w+)\s*(?:->|\)\s*\.)", made) or re.search(r"(?:^|[(=,&|^~-])\s*\*\s*\(?\s*(\w+)", made)
        if base is not None:
            owner = re.findall(rf"(?<![\w.>])\b{base[1]}\s*(?::[^=;]*)?=([^=;][^;]*);", text)
            return not any(re.search(r"\bbpf_\w+\s*\(|get_ptr|\.get\(", one) for one in owner)
        if "load" in made or re.search(r"\b(?:read|ptr_at|header)\w*\s*(?:::<[^;]*>)?\(", made):
            return True
        for word in _WORD.findall(made):
            if word != name and not word.isupper() and _from_packet(word, text, depth + 1):
                return True
    return False
