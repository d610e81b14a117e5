"""A headless Chromium that the tests of the pages drive over the DevTools protocol, through a pair of pipes."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
]
COMPLAINTS = ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded")


@dataclass
class Tab:
    """One page in the browser; `console_errors` has the messages of its console."""

    to_browser: BinaryIO
    from_browser: BinaryIO
    session: str = ""
    console_errors: list[str] = field(default_factory=list)
    _last: int = 0

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command and return its result; console errors among the other messages are collected."""
        self._last += 1
        command = {"id": self._last, "method": method, "params": parameters}
        self.to_browser.write(json.dumps(command | ({"sessionId": self.session} if self.session else {})).encode())
        self.to_browser.write(b"\0")
        self.to_browser.flush()
        while True:
            message = self._receive()
            if message.get("id") == self._last:
                assert "error" not in message, message
                return dict(message["result"])

    def wait_for(self, event: str) -> None:
        """Wait until the browser reports an event."""
        while self._receive().get("method") != event:
            pass

    def open(self, page: Path, width: int, scheme: str) -> None:
        """Load a page on a screen of a width, with the preferred color scheme `light` or `dark`."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.call("Page.navigate", url=page.as_uri())
        self.wait_for("Page.loadEventFired")

    def evaluate(self, expression: str) -> Any:
        """Return the value of an expression in the page."""
        return self.call("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    def screenshot(self, file: Path) -> Path:
        """Write the whole page as a PNG."""
        taken = self.call("Page.captureScreenshot", captureBeyondViewport=True)
        file.write_bytes(base64.b64decode(taken["data"]))
        return file

    def _receive(self) -> dict[str, Any]:
        text = bytearray()
        while (byte := self.from_browser.read(1)) != b"\0":
            assert byte, "the browser has ended"
            text += byte
        message: dict[str, Any] = json.loads(text)
        if message.get("method") in COMPLAINTS:
            self.console_errors.append(json.dumps(message["params"]))
        return message


@contextmanager
def browser(folder: Path) -> Iterator[Tab]:
    """Start Chromium with a profile of its own and open one tab."""
    read_commands, write_commands = os.pipe()
    read_answers, write_answers = os.pipe()
    # Chromium reads commands from descriptor 3 and writes to 4; bash puts our pipes there.
    command = ["bash", "-c", f'exec "$0" "$@" 3<&{read_commands} 4>&{write_answers}', str(CHROMIUM), *FLAGS]
    process = subprocess.Popen(
        [*command, f"--user-data-dir={folder / 'profile'}", "about:blank"],
        pass_fds=(read_commands, write_answers),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "HOME": str(folder)},
    )
    os.close(read_commands)
    os.close(write_answers)
    with os.fdopen(write_commands, "wb") as to_browser, os.fdopen(read_answers, "rb") as from_browser:
        tab = Tab(to_browser, from_browser)
        target = tab.call("Target.createTarget", url="about:blank")["targetId"]
        tab.session = tab.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            tab.call(f"{domain}.enable")
        try:
            yield tab
        finally:
            tab.session = ""
            tab.call("Browser.close")
            process.wait(timeout=30)
