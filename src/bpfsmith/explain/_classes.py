"""What the classes of causes mean: `bpfsmith explain missing-null-check`."""

from __future__ import annotations

from bpfsmith.explain._page import Page

__all__ = ["CLASSES", "page"]

# Class to (what is wrong, what has to change).
CLASSES = {
    "missing-null-check": ("a pointer that may be null is used without a comparison with null", "compare it and leave"),
    "missing-bounds-check": ("an offset, length or packet access has no check of its limits", "check before the use"),
    "check-on-copy": ("the check is about another value than the one used", "check the very value that is used"),
    "check-lost": ("a check was made, and what it showed was lost: by a spill, where paths meet, by a change of width",
                   "check again, or use what was checked"),
    "check-wrong": ("a check is there, but not the right one: its width, sign, size, order or place", "correct it"),
    "stale-pointer": ("a pointer is used after what it led to moved, was released or went away", "get it anew"),
    "pointer-to-scalar": ("a pointer became a number on its way", "keep it a pointer of full width"),
    "pointer-arithmetic": ("a pointer is computed with in a way the verifier does not allow", "compute with offsets"),
    "verifier-imprecision": ("the program is right, and the verifier cannot follow why",
                             "say it in a form that it follows"),
    "uninitialised": ("a register, stack bytes, a dynptr or an iterator is used before it is set", "set it first"),
    "panic-or-unreachable": ("code that never returns: a panic path, dead code", "remove what can panic"),
    "stack-limit": ("too many bytes of stack, or calls too deep", "move data to a map, flatten calls"),
    "context-access": ("bytes of a context or struct that may not be read or written so", "another field or way"),
    "argument-type": ("a function is given something of another kind than it takes", "pass what it takes"),
    "unreleased-reference": ("acquire and release do not pair: references, locks, sections", "release on every way"),
    "return-range": ("the value or type that is returned is not allowed", "return what the program type may"),
    "environment": ("nothing in the lines: kernel, its build, capability, licence or program type",
                    "another kernel, licence, capability or helper"),
    "attach-target": ("what the program is attached to does not fit", "another target"),
    "loader-or-metadata": ("the object or its loading: relocations, BTF, encodings", "how it is built and loaded"),
    "no-progress-loop": ("a loop in which nothing changes", "let it make progress"),
    "complexity": ("too much to follow: instructions, states, jumps, functions, maps", "make it simpler to follow"),
    "kernel-bug": ("the kernel's own mistake", "another kernel"),
}  # fmt: skip


def page(word: str) -> Page | None:
    """None for what is no class."""
    name = word.lower()
    if name not in CLASSES:
        return None
    what, change = CLASSES[name]
    return Page(
        "class",
        name,
        f"# class {name}\n\nA class of causes of rejections.\n\n* what is wrong: {what}\n"
        f"* what has to change: {change}\n\n"
        "All classes: `docs/guide/cause-classes.md`. Why one program was rejected: `bpfsmith explain LOG`.\n",
    )
