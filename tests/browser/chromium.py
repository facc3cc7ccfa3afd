"""A headless Chromium for tests of pages: one tab, driven by the DevTools protocol over a pipe.

No driver and no port: the browser is a child with two more descriptors, 3 to it and 4 from it, and ends with them.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any, Self

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
LIMIT = 60.0
CODES = {"Escape": 27, "Enter": 13}  # keys the browser itself acts on


def found() -> str | None:
    """The path of a browser that can be driven."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Page:
    """One page. `errors`: what its console and uncaught exceptions said; `asked`: every address it asked for."""

    def __init__(self, path: Path, folder: Path, *, size: tuple[int, int] = (1500, 900)) -> None:
        to_read, to_write = os.pipe()
        from_read, from_write = os.pipe()
        browser = found()
        assert browser is not None
        words = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe",
                 f"--user-data-dir={folder}", f"--window-size={size[0]},{size[1]}", "about:blank"]  # fmt: skip
        # The shell moves the two descriptors to 3 and 4, whatever numbers they have here.
        script = f'exec 3<&{to_read} 4>&{from_write}; exec "$@"'
        self._process = subprocess.Popen(
            ["bash", "-c", script, "bash", *words], pass_fds=(to_read, from_write),
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(to_read)
        os.close(from_write)
        self._out, self._in = to_write, from_read
        self._left = b""
        self._number = 0
        self.errors: list[str] = []
        self.asked: list[str] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = ""
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")
        self.call("Page.navigate", url=path.as_uri())
        self._until("Page.loadEventFired")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        os.close(self._out)
        self._process.kill()
        self._process.wait(10)
        os.close(self._in)

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """One command and its answer; what happens meanwhile is noted."""
        self._number += 1
        number = self._number
        message: dict[str, Any] = {"id": number, "method": method, "params": params}
        if getattr(self, "_session", ""):
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            told = self._read()
            if told.get("id") == number:
                assert "error" not in told, f"{method}: {told['error']}"
                result: dict[str, Any] = told["result"]
                return result

    def ask(self, script: str) -> Any:
        """The value of an expression in the page."""
        told = self.call("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in told, told
        return told["result"].get("value")

    def press(self, *keys: str) -> None:
        """Keys, by their names (`j`, `Home`, `Enter`)."""
        for key in keys:
            text: dict[str, Any] = {"text": key} if len(key) == 1 else {"windowsVirtualKeyCode": CODES.get(key, 0)}
            self.call("Input.dispatchKeyEvent", type="keyDown", key=key, **text)
            self.call("Input.dispatchKeyEvent", type="keyUp", key=key)

    def click(self, selector: str) -> None:
        """The mouse on the middle of an element."""
        place = self.ask(
            f"(() => {{ const one = document.querySelector({json.dumps(selector)}); one.scrollIntoView("
            "{block: 'center'}); const at = one.getBoundingClientRect();"
            " return [at.x + Math.min(at.width, 40) / 2, at.y + at.height / 2]; })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=place[0], y=place[1], button="left", clickCount=1)

    def theme(self, name: str) -> None:
        """What the reader's system prefers: `light` or `dark`."""
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": name}])

    def screenshot(self) -> bytes:
        """PNG."""
        return base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])

    def _until(self, event: str) -> None:
        while self._read().get("method") != event:
            pass

    def _read(self) -> dict[str, Any]:
        import select

        while b"\0" not in self._left:
            ready, _, _ = select.select([self._in], [], [], LIMIT)
            assert ready, "the browser does not answer"
            data = os.read(self._in, 1 << 16)
            assert data, "the browser ended"
            self._left += data
        text, _, self._left = self._left.partition(b"\0")
        told: dict[str, Any] = json.loads(text)
        params = told.get("params", {})
        match told.get("method"):
            case "Runtime.exceptionThrown":
                self.errors.append(str(params["exceptionDetails"].get("exception", params["exceptionDetails"])))
            case "Runtime.consoleAPICalled" if params["type"] in ("error", "warning", "assert"):
                self.errors.append(str(params["args"]))
            case "Log.entryAdded" if params["entry"]["level"] == "error":
                self.errors.append(params["entry"]["text"])
            case "Network.requestWillBeSent":
                self.asked.append(params["request"]["url"])
        return told
