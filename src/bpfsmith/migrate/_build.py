"""Build scripts that hand a package of cargo_metadata to aya-build, as until 0.1.2."""

from __future__ import annotations

from bpfsmith.source.names import resolve

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bpfsmith.source.rust import Expr, SourceFile

__all__ = ["old_calls"]

_PACKAGE = (
    "aya_build::Package { name: $.name.as_str(), root_dir: $.manifest_path.parent().unwrap().as_str(), "
    "..Default::default() }"
)


def old_calls(file: SourceFile) -> tuple[str, list[int], list[int]]:
    """(the text with the calls in their new form, the lines of these, the lines of those that cannot be rewritten)."""
    edits = []
    unknown = []
    for call in file.calls("build_ebpf"):
        callee = call.callee
        if callee is None or len(call.args) != 1:
            continue
        path = resolve(file, callee.path, call.item)
        if path not in (None, "aya_build::build_ebpf") or (path is None and callee.path != "aya_build::build_ebpf"):
            continue
        line = file.position(call.start)[0]
        names = _names(call.args[0])
        if names is None:
            unknown.append(line)
            continue
        packages = ", ".join(_PACKAGE.replace("$", name) for name in names)
        made = f"[{packages}], aya_build::Toolchain::default()"
        edits.append((call.args[0].start, call.args[0].end, made, line))
    out = []
    at = 0
    for start, end, made, _ in sorted(edits):
        out += [file.text[at:start], made]
        at = end
    return "".join([*out, file.text[at:]]), [line for *_, line in sorted(edits)], unknown


def _names(packages: Expr) -> list[str] | None:
    """The locals in `[first, second]`; None for anything else."""
    if packages.kind != "array":
        return None
    listed = [packages.file.expr(one) for one in packages.fields[0]]
    if any(one is None or one.kind != "path" or "::" in one.path for one in listed):
        return None
    return [one.text for one in listed if one is not None]
