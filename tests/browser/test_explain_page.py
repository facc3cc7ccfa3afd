"""The page of `explain --format html` in a real browser: steps, jumps, keys, both colours, and no network."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from chromium import Page

import bpfsmith
from bpfsmith.render.explain_html import QUOTED, render
from bpfsmith.verify.cause.result import Cause
from bpfsmith.verify.explained import Explained

REJECTED = Path(__file__).resolve().parents[2] / "examples" / "rejected"
pytestmark = pytest.mark.browser


OBJECT = "prebuilt/dns-guard.bpf.o"


def explained(log: str, obj: str | None = None) -> tuple[Explained, Cause]:
    one = bpfsmith.explain(log, object=obj).programs[0]
    assert one.cause is not None
    return one, one.cause


def written(tmp_path: Path, log: str, obj: str | None = None) -> Path:
    page = tmp_path / "explained.html"
    page.write_text(render(bpfsmith.explain(log, object=obj)), encoding="utf-8")
    return page


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Page]:
    monkeypatch.chdir(REJECTED)
    path = written(tmp_path, "aya.log", OBJECT)
    with Page(path, tmp_path / "profile") as page:
        yield page
        assert page.errors == []
        assert page.asked == [path.as_uri()], "the page asks for nothing but itself"


def step(page: Page) -> int:
    return int(page.ask("document.getElementById('count').textContent.split(' ')[1]"))


def steps(page: Page) -> int:
    return int(page.ask("document.getElementById('count').textContent.split(' ')[3]"))


def instruction(page: Page) -> str:
    text: str = page.ask("document.querySelector('#rows .here').textContent")
    return text


def test_it_opens_where_the_verifier_stopped(page: Page) -> None:
    one, cause = explained("aya.log", OBJECT)
    assert step(page) == steps(page) == len(one.log.path)
    assert page.ask("document.getElementById('headline').textContent") == one.headline.replace("`", "")
    assert page.ask("document.querySelector('#headline code').textContent") == "udp"
    assert one.message in page.ask("document.getElementById('message').textContent")
    assert page.ask("document.querySelectorAll('#chain button').length") == len(cause.because)
    here = page.ask("document.querySelector('#lines .here .number').textContent")
    assert cause.symptom is not None and cause.symptom.place is not None
    assert int(here) == cause.symptom.place.line
    assert instruction(page).startswith(str(one.instruction))


def test_states_are_those_of_the_log(page: Page) -> None:
    log = explained("aya.log", OBJECT)[0].log
    for at in (len(log.path), 1, len(log.path) // 2, 7):
        page.press("Home", *["j"] * (at - 1)) if at < 20 else page.press("End", *["k"] * (len(log.path) - at))
        assert step(page) == at
        shown = page.ask(
            "Object.fromEntries([...document.querySelectorAll('#values td[data-name]')].map((one) =>"
            " [one.dataset.name, one.textContent]))"
        )
        frame = log.after(log.path[at - 1]).frames[-1]
        expected = {name: value.text for name, value in frame.regs.items()}
        expected |= {f"fp{offset}": slot.text for offset, slot in frame.stack.items()}
        assert shown == expected


def test_a_value_leads_to_where_it_was_written(page: Page) -> None:
    log = explained("aya.log")[0].log
    page.press("End")
    last = log.insn(log.step(log.path[-1]).slot)
    name = f"r{last.reads[0]}"
    writers = [at for at, one in enumerate(log.path) if last.reads[0] in log.insn(log.step(one).slot).writes]
    expected = max(at for at in writers if at < len(log.path) - 1) + 1
    page.click(f"#values td[data-name={name}]")
    assert step(page) == expected
    page.press("b")
    assert step(page) == len(log.path)
    page.press(name[1:])  # by the register's number
    assert step(page) == expected
    # By the keyboard alone: the value has the focus, Enter follows it.
    page.press("b")
    page.ask(f"document.querySelector('#values td[data-name={name}]').focus()")
    page.press("Enter")
    assert step(page) == expected


def test_keys_and_clicks(page: Page) -> None:
    page.press("Home")
    assert step(page) == 1
    page.press("k")
    assert step(page) == 1
    page.press("j", "ArrowDown", "ArrowUp")
    assert step(page) == 2
    page.press("PageDown")
    assert step(page) == 22
    page.press("End", "p")
    chain = explained("aya.log")[1].because
    assert step(page) < steps(page)
    page.click("#chain li:first-child button")
    assert instruction(page).startswith(str(chain[0].slot))
    page.press("c")
    assert page.ask("document.querySelector('#rows .here').classList.contains('cause')")
    page.click("#rows .row:first-child")
    page.press("?")
    assert page.ask("document.getElementById('help').open")
    page.press("Escape")
    assert not page.ask("document.getElementById('help').open")
    before = step(page)
    page.click("#lines .has.cause")
    assert step(page) != before or page.ask("document.querySelector('#lines .here.cause') !== null")


def test_light_and_dark(page: Page) -> None:
    paper = "getComputedStyle(document.body).backgroundColor"
    page.theme("light")
    light = page.ask(paper)
    page.theme("dark")
    dark = page.ask(paper)
    assert light != dark
    page.press("t")
    assert page.ask(paper) == light
    page.press("t")
    assert page.ask(paper) == dark
    shot = page.screenshot()
    assert shot.startswith(b"\x89PNG")
    if folder := os.environ.get("BPFSMITH_SCREENSHOTS"):  # for a person to look at
        Path(folder, "explain-dark.png").write_bytes(shot)
        page.press("t")
        Path(folder, "explain-light.png").write_bytes(page.screenshot())


HOSTILE = """\
0: R1=ctx(off=0,imm=0) R10=fp0
; if (x < "</script><script>document.title='taken'</script>") <!-- @ <img src=x onerror=alert(1)>.c:3
0: (61) r1 = *(u32 *)(r1 +0)          ; R1_w=pkt(off=0,r=0,imm=0)
1: (71) r1 = *(u8 *)(r1 +23)
invalid access to packet, off=23 size=1, R1(id=0,off=23,r=0)
R1 offset is outside of the packet
processed 2 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0
"""


def test_a_log_is_never_markup(tmp_path: Path) -> None:
    log = tmp_path / "hostile.log"
    log.write_text(HOSTILE)
    path = written(tmp_path, str(log))
    with Page(path, tmp_path / "profile") as page:
        assert page.ask("document.title") != "taken"
        assert page.ask("document.images.length") == 0
        assert "</script>" in page.ask("document.getElementById('lines').textContent")
        assert page.errors == []


def test_lines_without_file_and_narrow_windows(tmp_path: Path) -> None:
    log = tmp_path / "old.log"
    log.write_text(re.sub(r" @ .*", "", HOSTILE))
    path = written(tmp_path, str(log))
    with Page(path, tmp_path / "profile", size=(480, 900)) as page:
        assert page.ask("document.getElementById('file').textContent") == QUOTED
        assert page.ask("document.querySelector('#lines .here .number').textContent") == ""
        assert page.ask("document.documentElement.scrollWidth <= innerWidth")
        assert page.errors == []


def test_the_data_is_the_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the page shows stands in it as JSON, for whoever reads it without a browser."""
    monkeypatch.chdir(REJECTED)
    text = written(tmp_path, "aya.log").read_text()
    found = re.search(r'<script type="application/json" id="data">\n(.*?)</script>', text, re.DOTALL)
    assert found is not None
    data = json.loads(found[1])
    assert data["programs"][0]["class"] == bpfsmith.explain("aya.log").programs[0].cls
    assert "http://" not in text and "https://" not in text


def test_it_opens_at_its_headline_where_the_window_is_narrow(page: Page) -> None:
    page.ask("document.documentElement.style.width = '420px'; document.getElementById('next').click(); 1")
    assert page.ask("window.scrollY") == 0
