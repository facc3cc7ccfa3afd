"""`inspect --graph`: calls, callbacks and tail calls as DOT or Mermaid; laying it out is other programs' work."""

from __future__ import annotations

from bisect import bisect_right

from bpfsmith.render._cells import clean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from bpfsmith.model.object import Object


class _Graph:
    """Nodes and edges of one object; every node and edge once, in the order they are found."""

    __slots__ = ("edges", "nodes")

    def __init__(self) -> None:
        self.nodes: dict[tuple[str, str], str] = {}  # (kind, name) -> label
        self.edges: dict[tuple[tuple[str, str], tuple[str, str], str, str], None] = {}

    def node(self, kind: str, name: str, label: str = "") -> tuple[str, str]:
        self.nodes.setdefault((kind, name), label or name)
        return kind, name

    def edge(self, start: tuple[str, str], end: tuple[str, str], kind: str, label: str = "") -> None:
        self.edges.setdefault((start, end, kind, label))


def render(objects: Sequence[Object], form: str) -> str:
    """One graph for all `objects`; `form` is `dot` or `mermaid`."""
    graphs = [(obj.path, _graph(obj)) for obj in objects]
    return "\n".join(map(clean, _dot(graphs) if form == "dot" else _mermaid(graphs))) + "\n"


def _graph(obj: Object) -> _Graph:
    graph = _Graph()
    for program in obj.programs:
        graph.node("program", program.name, f"{program.name}\n{program.section}")
    for program in obj.programs:
        if program.link_error is not None:
            continue
        functions = program.functions()
        starts = [first for _, first, _, _ in functions]
        for slot, kind, _, name in program.calls():
            if kind in {"subprog", "callback"}:
                at = bisect_right(starts, slot) - 1
                caller = functions[at][0] if at >= 0 else program.name
                start = ("program" if caller == program.name else "subprogram", caller)
                graph.edge(graph.node(*start), graph.node("subprogram", name), kind)
    slots = {one.name: dict(one.values) for one in obj.maps if one.values}
    for name, array, index in obj.tail_calls:
        start = graph.node("program", name)
        through = array or "?"
        filled = slots.get(through, {})
        known = filled.get(index) if index is not None else None
        label = f"{through}[{'computed' if index is None else index}]"
        if known is not None:
            graph.edge(start, graph.node("program", known), "tail call", label)
        else:
            graph.edge(start, graph.node("map", through), "tail call", label)
    for name, filled in slots.items():
        if ("map", name) in graph.nodes:
            for index, program_name in filled.items():
                graph.edge(("map", name), graph.node("program", program_name), "slot", str(index))
    return graph


def _dot(graphs: Iterable[tuple[str, _Graph]]) -> Iterable[str]:
    shapes = {"program": "box", "subprogram": "ellipse", "map": "cylinder"}
    styles = {"subprog": "solid", "callback": "dashed", "tail call": "bold", "slot": "dotted"}
    yield "digraph bpf {"
    yield "  rankdir=LR;"
    yield '  node [fontname="sans-serif"]; edge [fontname="sans-serif"];'
    for number, (path, graph) in enumerate(graphs):
        ids = {key: f"n{number}_{at}" for at, key in enumerate(graph.nodes)}
        yield f"  subgraph cluster_{number} {{"
        yield f"    label={_quoted(path)};"
        for key, label in graph.nodes.items():
            yield f"    {ids[key]} [label={_quoted(label)}, shape={shapes[key[0]]}];"
        for start, end, kind, label in graph.edges:
            shown = label or ("" if kind == "subprog" else kind)
            text = f", label={_quoted(shown)}" if shown else ""
            yield f"    {ids[start]} -> {ids[end]} [style={styles[kind]}{text}];"
        yield "  }"
    yield "}"


def _mermaid(graphs: Iterable[tuple[str, _Graph]]) -> Iterable[str]:
    shapes = {"program": ("[", "]"), "subprogram": ("(", ")"), "map": ("[(", ")]")}
    arrows = {"subprog": "-->", "callback": "-.->", "tail call": "==>", "slot": "-.->"}
    yield "flowchart LR"
    for number, (path, graph) in enumerate(graphs):
        ids = {key: f"n{number}_{at}" for at, key in enumerate(graph.nodes)}
        yield f'  subgraph g{number}["{_entities(path)}"]'
        for key, label in graph.nodes.items():
            left, right = shapes[key[0]]
            yield f'    {ids[key]}{left}"{_entities(label)}"{right}'
        for start, end, kind, label in graph.edges:
            shown = label or ("" if kind == "subprog" else kind)
            text = f'|"{_entities(shown)}"|' if shown else ""
            yield f"    {ids[start]} {arrows[kind]}{text} {ids[end]}"
        yield "  end"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _entities(text: str) -> str:
    escaped = text.replace("&", "#amp;").replace('"', "#quot;").replace("<", "#lt;").replace(">", "#gt;")
    return escaped.replace("\n", "<br>")
