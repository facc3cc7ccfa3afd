"""Object + kernel + options -> plan. Pure: nothing is asked of the machine but through the `Kernel` value.

The order is libbpf's: token, the object's types, maps with their contents, programs, then what needs both (slots of
program arrays, pins). Where a kernel lacks something that has an equivalent, the plan uses that and notes it; what has
none is an error when a chosen program needs it.
"""

from __future__ import annotations

from bpfsmith.run.plan import LIFT_MEMLOCK, Plan, Slot
from bpfsmith.run.planmaps import MapPlanner
from bpfsmith.run.planned import Options, PlannedMap, PlannedProgram
from bpfsmith.run.planprograms import ProgramPlanner

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bpfsmith.model.kernel import Kernel
    from bpfsmith.model.object import Object

__all__ = ["Planned", "make_plan", "plan_object"]

F_TOKEN_FD = 1 << 16
LONG_NAMES = 0x60100  # Linux 6.1: names in types of more than 127 bytes

# Kernel feature -> what `Object.kernel_btf` replaces where it is missing.
_KINDS = (
    ("btf_func", "func"), ("btf_global_func", "func_global"), ("btf_datasec", "datasec"), ("btf_float", "float"),
    ("btf_decl_tag", "decl_tag"), ("btf_type_tag", "type_tag"), ("btf_enum64", "enum64"),
    ("btf_qmark_datasec", "qmark_datasec"),
)  # fmt: skip

# Maps the kernel makes only with types: sk_storage, struct_ops, inode_storage, task_storage, cgrp_storage.
NEED_TYPES = frozenset((24, 26, 28, 29, 32))


class Planned:
    """A plan and what its slots stand for: `maps` and `programs` by the object's names."""

    __slots__ = ("maps", "object", "plan", "programs")

    def __init__(
        self, obj: Object, plan: Plan, maps: dict[str, PlannedMap], programs: dict[str, PlannedProgram]
    ) -> None:
        self.object = obj
        self.plan = plan
        self.maps = maps
        self.programs = programs


def make_plan(obj: Object, kernel: Kernel, options: Options | None = None) -> Plan:
    """The commands that load `obj` into `kernel`; errors are those of `bpfsmith.load`."""
    return plan_object(obj, kernel, options).plan


def plan_object(obj: Object, kernel: Kernel, options: Options | None = None) -> Planned:
    """As `make_plan`, with what the slots stand for."""
    options = options or Options()
    plan = Plan(obj.path)
    if not kernel.has("memcg_account"):
        plan.add(LIFT_MEMLOCK, "the process", {})
        plan.note("memlock", "kernels before 5.11 charge maps and programs to RLIMIT_MEMLOCK, which is lifted")
    if options.token:
        plan.give("bpffs")
        plan.add("BPF_TOKEN_CREATE", "the delegated bpffs", {"bpffs_fd": Slot("bpffs")}, "token")
    programs = ProgramPlanner(obj, kernel, options, plan)
    maps = MapPlanner(obj, kernel, options, plan)
    programs.choose()
    _types(obj, kernel, options, plan, programs)
    maps.plan_all(programs)
    programs.plan_all(maps)
    if options.whole:
        programs.check_externs()
    maps.fill_program_arrays(programs)
    maps.pin()
    return Planned(obj, plan, maps.maps, programs.programs)


def _types(obj: Object, kernel: Kernel, options: Options, plan: Plan, programs: ProgramPlanner) -> None:
    """BPF_BTF_LOAD, unless the kernel or the object has no types."""
    native = obj.native
    if options.no_btf or not native.has_btf:
        return
    if not kernel.has("btf"):
        if any(one.type in NEED_TYPES for one in native.maps):
            from bpfsmith.model.errors import Unsupported

            raise Unsupported(
                f"`{obj.path}` has maps that kernels make only with types, and this one takes none",
                "btf",
                "4.18",
                where=obj.path,
            ).lacking("btf")
        plan.note("btf", "this kernel takes no types: maps and programs are loaded without")
        return
    lacking = [word for feature, word in _KINDS if not kernel.has(feature)]
    if 0 < kernel.version_code < LONG_NAMES:
        lacking.append("long_names")
    data = native.kernel_btf(lacking)
    if data is None:
        return
    replaced = [word for word in lacking if word != "long_names"]
    if replaced:
        plan.note("btf", f"kinds of types this kernel does not know are replaced: {', '.join(replaced)}")
    if b"arg:ctx" in data and not kernel.has("arg_ctx_tag") and "func" not in lacking:
        data = programs.tag_contexts(data, "decl_tag" not in lacking)
    fields: dict[str, object] = {"btf": data, "btf_size": len(data)}
    if options.token:
        fields["btf_flags"] = F_TOKEN_FD
        fields["btf_token_fd"] = Slot("token")
    plan.add("BPF_BTF_LOAD", f"the types of `{obj.path}`", fields, "btf")
