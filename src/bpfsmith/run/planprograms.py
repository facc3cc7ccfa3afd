"""Programs of a plan: their types, what they are bound to, their linked and relocated instructions."""

from __future__ import annotations

from bpfsmith._native import ReadError
from bpfsmith.run import sections
from bpfsmith.run.plan import Blob, Plan, Slot
from bpfsmith.run.planmaps import kernel_name
from bpfsmith.run.planned import PlannedProgram

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

    from bpfsmith._native import Btf, Image
    from bpfsmith.model.kernel import Kernel
    from bpfsmith.model.object import Object
    from bpfsmith.run.externs import Externs
    from bpfsmith.run.planmaps import MapPlanner
    from bpfsmith.run.planned import Options
    from bpfsmith.run.structops import Value

__all__ = ["ProgramPlanner"]

F_SLEEPABLE, F_XDP_HAS_FRAGS, F_TOKEN_FD = 1 << 4, 1 << 5, 1 << 16
XDP, STRUCT_OPS, EXT = 6, 27, 28
TRACE_UPROBE_MULTI = 48


class ProgramPlanner:
    """Plans the programs of one object."""

    def __init__(self, obj: Object, kernel: Kernel, options: Options, plan: Plan) -> None:
        self.object = obj
        self.kernel = kernel
        self.options = options
        self.plan = plan
        self.programs: dict[str, PlannedProgram] = {}
        self.forced: set[str] = set()  # optional struct_ops maps one of whose programs was asked for
        self._bound: dict[str, tuple[int, int, str]] = {}  # struct_ops: program -> (type id, member, module slot)
        self._externs: Externs | None = None
        self._targets: list[Btf] | None = None
        self._typed = any(one.typed for one in obj.externs) and kernel.has_btf
        self._named = kernel.has("prog_name")
        self._version = obj.kernel_version or kernel.version_code
        self._described = False  # whether programs are loaded with function and line information
        self._contexts: dict[str, dict[int, int]] = {}  # program -> its functions' types that are clones
        self._license = (options.license if options.license is not None else obj.license or "").encode() + b"\0"

    # ------------------------------------------------------------ which ones

    def choose(self) -> None:
        """Fills `programs` with those to load; what each one is comes later."""
        selected, autoload = self.options.selected, self.options.autoload
        members = self._struct_ops_members()
        for source in self.object.programs:
            native = source.native
            name = native.name
            if selected is not None:
                wanted = name in selected
            else:
                wanted = autoload.get(name, native.autoload)
                if name not in autoload and name in members:
                    # As in libbpf a member is loaded when one of its maps is created, whatever its section says.
                    wanted = any(not optional for _, optional in members[name])
            if not wanted:
                continue
            self.programs[name] = PlannedProgram(source, f"program:{name}")
            self.forced.update(one for one, _ in members.get(name, ()) if selected is not None or name in autoload)

    def _struct_ops_members(self) -> dict[str, list[tuple[str, bool]]]:
        """Program -> [(struct_ops map, whether that map is optional)]."""
        found: dict[str, list[tuple[str, bool]]] = {}
        for one in self.object.maps:
            if one.native.origin == "struct_ops":
                for _, name in one.native.values:
                    found.setdefault(name, []).append((one.name, one.section.startswith("?")))
        return found

    def bind_struct_ops(self, name: str, value: Value) -> None:
        """Members of struct_ops maps are bound to the kernel's type by their position in it."""
        module = self.module_slot(value.module) if value.module else ""
        alone = self.options.alone
        for program, member in value.members.items():
            if alone and program != alone:
                continue  # as if that member were not set
            bound = (value.ops_id, member, module)
            if self._bound.setdefault(program, bound) != bound:
                from bpfsmith.model.errors import InputError

                raise InputError(
                    f"program `{program}` is a member of several struct_ops maps at different places",
                    where=self.object.path,
                    hint=f"give map `{name}` a program of its own",
                )
        for program in value.dropped:
            self.programs.pop(program, None)

    def tag_contexts(self, data: bytes, tags: bool) -> bytes:
        """The types with what `__arg_ctx` means spelled out, for kernels that do not know the tag."""
        from bpfsmith.run.argctx import clones, functions_of

        rows = []
        for planned in self.programs.values():
            native = planned.source.native
            row = sections.match(native.section)
            kind = self.options.programs.get(planned.name, {}).get("type", row[0] if row else 0)
            if not native.link_error:
                rows.append((planned.name, kind, functions_of(native.image(()).func_info)))
        btf = self.object.btf
        if btf is None:
            return data
        data, made = clones(btf, data, rows, self.kernel.arch, tags)
        self._contexts = {name: told for (name, _, _), told in zip(rows, made, strict=True) if told}
        if self._contexts:
            self.plan.note("btf", "this kernel does not know `__arg_ctx`: the arguments get the context's type")
        return data

    # ------------------------------------------------------------ what they are

    def plan_all(self, maps: MapPlanner) -> None:
        rodata = [one for one in maps.maps.values() if one.data is not None and one.name.startswith(".rodata")]
        self._described = self.plan.has("btf") and self.kernel.has("btf_func")
        bind = bool(rodata) and not self.options.no_bind and self.kernel.has("prog_bind_map")
        for planned in self.programs.values():
            native = planned.source.native
            if native.link_error:
                self._cannot_link(planned, native.link_error)
            settings = self.options.programs.get(planned.name, {})
            flags = self._kind(planned, settings)
            fields = self._fields(planned, settings)
            self._bind(planned, settings, flags, fields)
            self._image(planned, maps, fields)
            self.plan.add("BPF_PROG_LOAD", f"program `{planned.name}`", fields, planned.slot)
            if bind:
                for one in rodata:
                    what = f"map `{one.name}` to program `{planned.name}`"
                    self.plan.add("BPF_PROG_BIND_MAP", what, {"prog_fd": Slot(planned.slot), "map_fd": Slot(one.slot)})

    def _kind(self, planned: PlannedProgram, settings: dict[str, Any]) -> int:
        """Type, expected attach type, flags: the section's, or the caller's. Answers the row's flags."""
        row = sections.match(planned.source.native.section)
        flags = 0
        if row is not None:
            planned.type, planned.attach_type, flags, planned.attach_to = row
        if "type" in settings:
            number: int = settings["type"]
            if number != planned.type:
                flags, planned.attach_type = 0, -1
            planned.type = number
        elif row is None:
            self._unknown_section(planned)
        if "attach_type" in settings:
            planned.attach_type = settings["attach_type"]
        if "attach_to" in settings:
            planned.attach_to = settings["attach_to"]
        planned.sleepable = bool(flags & sections.SLEEPABLE)
        planned.usdt = bool(flags & sections.USDT)
        planned.flags = settings.get("flags", 0)
        if planned.sleepable:
            planned.flags |= F_SLEEPABLE
        if flags & sections.XDP_FRAGS and planned.type == XDP:
            planned.flags |= F_XDP_HAS_FRAGS
        if planned.usdt and planned.attach_type < 0 and self.kernel.has("uprobe_multi_link"):
            planned.attach_type = TRACE_UPROBE_MULTI
        return flags

    def _fields(self, planned: PlannedProgram, settings: dict[str, Any]) -> dict[str, Any]:
        options = self.options
        fields: dict[str, Any] = {
            "prog_type": planned.type,
            "insn_cnt": 0,
            "insns": b"",
            "license": self._license,
            "kern_version": self._version,
        }
        flags = planned.flags
        if options.token:
            flags |= F_TOKEN_FD
            fields["prog_token_fd"] = Slot("token")
        if flags:
            fields["prog_flags"] = flags
        if self._named:
            fields["prog_name"] = kernel_name(planned.name)
        if settings.get("ifindex"):
            fields["prog_ifindex"] = settings["ifindex"]
        return fields

    def _bind(self, planned: PlannedProgram, settings: dict[str, Any], flags: int, fields: dict[str, Any]) -> None:
        """The expected attach type and, for programs that are bound when they are loaded, the target."""
        expected = planned.attach_type
        if planned.type == STRUCT_OPS:
            bound = self._bound.get(planned.name)
            if bound is None:
                self._no_struct_ops(planned)
                return
            fields["attach_btf_id"], expected, module = bound
            fields["expected_attach_type"] = expected
            if module:
                fields["attach_btf_obj_fd"] = Slot(module)
            return
        if expected > 0 and (not flags & sections.ATTACH_OPTIONAL or self.kernel.has("exp_attach_type")):
            fields["expected_attach_type"] = expected
        if "attach_prog" in settings:
            self.plan.give(f"target:{planned.name}")
            fields["attach_prog_fd"] = Slot(f"target:{planned.name}")
            fields["attach_btf_id"] = settings["attach_btf_id"]
        elif "attach_btf_id" in settings:
            fields["attach_btf_id"] = settings["attach_btf_id"]
        elif flags & sections.ATTACH_BTF:
            from bpfsmith.run.externs import attach_target

            number, module = attach_target(planned, self.kernel, self.object.path, self.options.near)
            fields["attach_btf_id"] = number
            if module:
                fields["attach_btf_obj_fd"] = Slot(self.module_slot(module))

    # ------------------------------------------------------------ instructions

    def _image(self, planned: PlannedProgram, maps: MapPlanner, fields: dict[str, Any]) -> None:
        native = planned.source.native
        # Only what looks into the kernel's types makes anybody read them.
        try:
            image = native.image(self._core_targets() if native.core_relocations or self._typed else ())
        except ReadError as error:
            message, where, _hint = error.args
            self._cannot_link(planned, f"{message} ({where})" if where else message)
        insns = image.insns
        slots: list[tuple[int, str]] = []
        if image.externs:
            insns = self._resolve(planned, image, fields, slots)
        if not self.kernel.has("probe_read_kern"):
            from bpfsmith.run.externs import old_probe_reads

            insns = old_probe_reads(insns)
        by_index = maps.by_index
        for at, index in image.maps:
            one = by_index[index] if index < len(by_index) else None
            if one is None:
                self._no_map(planned, index)
            else:
                slots.append((at, one.slot))
        if image.jump_tables:
            slots.extend(maps.jump_tables(planned.name, image.jump_tables))
        fields["insns"] = Blob(insns, tuple(slots)) if slots else insns
        fields["insn_cnt"] = len(insns) // 8
        if self._described:
            functions, lines = image.func_info, image.line_info
            if planned.name in self._contexts:
                from bpfsmith.run.argctx import renumbered

                functions = renumbered(functions, self._contexts[planned.name])
            # Without records the kernel needs no types of the program.
            fields["prog_btf_fd"] = Slot("btf")
            if functions:
                fields.update(func_info_rec_size=8, func_info=functions, func_info_cnt=len(functions) // 8)
            if lines:
                fields.update(line_info_rec_size=16, line_info=lines, line_info_cnt=len(lines) // 16)

    def _core_targets(self) -> list[Btf]:
        if self._targets is None:
            self._targets = self.kernel.targets if self.options.targets is None else self.options.targets
        return self._targets

    def _resolve(
        self, planned: PlannedProgram, image: Image, fields: dict[str, Any], slots: list[tuple[int, str]]
    ) -> bytes:
        """The instructions with kernel functions and symbols filled in."""
        if self._externs is None:
            from bpfsmith.run.externs import Externs

            self._externs = Externs(self.object, self.kernel, self.options.near)
        insns, modules, variables = self._externs.fill(planned.name, image)
        slots.extend((at, self.module_slot(name)) for at, name in variables)
        if modules:
            places = tuple((4 * at, self.module_slot(name)) for at, name in enumerate(modules, 1))
            fields["fd_array"] = Blob(bytes(4 * len(modules) + 4), places)
        return insns

    def check_externs(self) -> None:
        """Those of all programs, also of those that are not loaded."""
        if self.object.externs:
            if self._externs is None:
                from bpfsmith.run.externs import Externs

                self._externs = Externs(self.object, self.kernel, self.options.near)
            self._externs.check()

    def module_slot(self, module: str) -> str:
        """The slot of a kernel module's types; the command that opens them comes with its first use."""
        slot = f"types:{module}"
        if not self.plan.has(slot):
            number = self.kernel.module_id(module)
            if number is None:
                from bpfsmith.model.errors import TargetMissing

                raise TargetMissing(
                    f"the types of kernel module `{module}` are needed, but kernel `{self.kernel.name}` has none",
                    where=self.object.path,
                    hint=f"load the module: `modprobe {module}`",
                ).lacking("btf")
            self.plan.add("BPF_BTF_GET_FD_BY_ID", f"the types of module `{module}`", {"btf_id": number}, slot)
        return slot

    # ------------------------------------------------------------ refusals

    def _cannot_link(self, planned: PlannedProgram, why: str) -> NoReturn:
        from bpfsmith.model.errors import InputError

        raise InputError(
            f"program `{planned.name}` cannot be linked: {why}",
            where=self.object.path,
            hint="leave it out with `select=`, or see `bpfsmith check`",
        ).lacking("loader")

    def _unknown_section(self, planned: PlannedProgram) -> None:
        from bpfsmith.model.errors import InputError
        from bpfsmith.model.near import did_you_mean

        section = planned.source.native.section
        otherwise = f"say its type: `programs={{'{planned.name}': {{'type': 'xdp'}}}}`"
        raise InputError(
            f"section `{section}` of program `{planned.name}` names no program type",
            where=self.object.path,
            hint=did_you_mean(section.partition("/")[0], sections.known(), otherwise),
        ).lacking("loader")

    def _no_struct_ops(self, planned: PlannedProgram) -> None:
        from bpfsmith.model.errors import InputError

        raise InputError(
            f"struct_ops program `{planned.name}` is a member of no struct_ops map",
            where=self.object.path,
            hint="set it as a member of the struct in `.struct_ops`, or leave it out with `select=`",
        ).lacking("no-target-given")

    def _no_map(self, planned: PlannedProgram, index: int) -> None:
        from bpfsmith.model.errors import Unsupported

        maps = self.object.maps
        name = maps[index].name if index < len(maps) else f"number {index}"
        if index < len(maps) and maps[index].origin == "struct_ops":
            from bpfsmith.model.errors import InputError

            raise InputError(
                f"program `{planned.name}` uses map `{name}`, which is optional and was not asked for",
                where=self.object.path,
            ).lacking("map")
        raise Unsupported(
            f"program `{planned.name}` uses globals of `{name}`, and this kernel has no global data",
            "global_data",
            "5.2",
            "pass the values in a map",
            where=self.object.path,
        ).lacking("map")
