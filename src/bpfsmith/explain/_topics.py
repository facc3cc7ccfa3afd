"""Topics: short arguments with facts, one Markdown file each in `topics`; `docs/topics` holds the same text."""

from __future__ import annotations

import os

from bpfsmith.explain._page import Page

__all__ = ["about", "folder", "get", "names", "title"]


def folder() -> str:
    """Where the topics are installed."""
    import bpfsmith

    return os.path.join(os.path.dirname(os.path.abspath(bpfsmith.__file__)), "topics")


def names() -> list[str]:
    """The names of all topics, sorted."""
    try:
        listed = os.listdir(folder())
    except OSError:
        return []
    return sorted(file.removesuffix(".md") for file in listed if file.endswith(".md"))


def get(word: str) -> Page | None:
    """The topic of exactly this name."""
    name = word.lower().replace("_", "-").replace(" ", "-")
    if name not in names():
        return None
    with open(os.path.join(folder(), f"{name}.md"), encoding="utf-8") as file:
        return Page("topic", name, file.read())


def about(word: str) -> Page | None:
    """The topic whose name holds this word, when there is exactly one."""
    wanted = word.lower().rstrip("s")
    found = [name for name in names() if wanted in [part.rstrip("s") for part in name.split("-")]]
    return get(found[0]) if len(found) == 1 else None


def title(name: str) -> str:
    """The heading of a topic."""
    page = get(name)
    return page.markdown.splitlines()[0].lstrip("# ").strip() if page else name
