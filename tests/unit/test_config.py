"""`bpfsmith.toml`."""

from __future__ import annotations

from pathlib import Path

import pytest

from bpfsmith.check.config import Config, find_config, load_config
from bpfsmith.model.errors import InputError


def load(tmp_path: Path, text: str) -> Config:
    path = tmp_path / "bpfsmith.toml"
    path.write_text(text, encoding="utf-8")
    return load_config(str(path))


def test_everything(tmp_path: Path) -> None:
    config = load(
        tmp_path,
        """\
select = ["OBJ", "AYA"]
ignore = ["OBJ014"]
kernels = ["5.10..", "4.19"]
loaders = ["aya", "libbpf"]
fail-on = "error"
[per-path]
"tests/**" = ["AYA075"]
"*.c" = "OBJ"
"deep/**/x.rs" = ["OBJ001"]
[kernel-names]
fleet = "5.15,6.1"
""",
    )
    assert (config.select, config.ignore, config.kernels) == (("OBJ", "AYA"), ("OBJ014",), "5.10..,4.19")
    assert (config.loaders, config.fail_on, config.names) == (("aya", "libbpf"), "error", {"fleet": "5.15,6.1"})
    assert config.ignored_in(str(tmp_path / "tests/a/b.rs")) == ("AYA075",)
    assert config.ignored_in(str(tmp_path / "x.c")) == ("OBJ",)
    assert config.ignored_in(str(tmp_path / "deep/x.rs")) == ("OBJ001",)
    assert config.ignored_in(str(tmp_path / "deep/a/b/x.rs")) == ("OBJ001",)
    assert config.ignored_in(str(tmp_path / "src/x.rs")) == ()
    assert Config().ignored_in("x.c") == ()


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ('kernel = "6.1"', "did you mean `kernels`"),
        ("select = 3", "`select` must be a string or a list of strings"),
        ("select = [3]", "`select` must be"),
        ("per-path = []", "`per-path` must be a table"),
        ("[per-path]\na = 1", "`per-path.a` must be"),
        ('loaders = ["libbfp"]', "did you mean `libbpf`?"),
        ('fail-on = "errors"', "known are error, warning, note, never"),
        ("select = ", "not valid TOML"),
        ("a = '\xff", "not valid TOML"),
    ],
)
def test_mistakes(tmp_path: Path, text: str, part: str) -> None:
    (tmp_path / "bpfsmith.toml").write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError) as caught:
        load_config(str(tmp_path / "bpfsmith.toml"))
    assert part in str(caught.value)
    assert str(tmp_path) in str(caught.value)


def test_it_is_found_upwards(tmp_path: Path) -> None:
    inner = tmp_path / "a/b"
    inner.mkdir(parents=True)
    (tmp_path / "Cargo.toml").write_text('[workspace.metadata.bpfsmith]\nkernels = "6.1"\n', encoding="utf-8")
    (inner / "Cargo.toml").write_text("[package]\n", encoding="utf-8")
    assert find_config(str(inner)) == str(tmp_path / "Cargo.toml")
    assert load_config(str(tmp_path / "Cargo.toml")).kernels == "6.1"
    (tmp_path / "bpfsmith.toml").touch()
    assert find_config(str(inner / "prog.o")) == str(tmp_path / "bpfsmith.toml")
    (tmp_path / "a/bpfsmith.toml").touch()
    assert find_config(str(inner)) == str(tmp_path / "a/bpfsmith.toml")


def test_an_unreadable_one(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read"):
        load_config(str(tmp_path / "none.toml"))


def test_metadata_that_is_no_table(tmp_path: Path) -> None:
    manifest = tmp_path / "Cargo.toml"
    manifest.write_text("[workspace.metadata]\nbpfsmith = 1\n")
    with pytest.raises(InputError, match="must be a table"):
        load_config(str(manifest))
