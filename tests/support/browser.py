"""Debian's Chromium without a screen, spoken to by its DevTools protocol.

https://chromedevtools.github.io/devtools-protocol/ describes the methods.
"""

import base64
import json
import os
import shutil
import subprocess
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import websocket

from tests.support.cluster import packages
from tests.support.cluster.cache import locked
from tests.support.cluster.kube import until

_QUIET = ("--no-first-run", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars")


def unavailable() -> str | None:
    """Install Chromium where that is possible; say why there is none."""
    if not shutil.which("chromium"):
        try:
            with locked("packages"):
                packages.install("chromium")
        except packages.MissingPackagesError as error:
            return str(error)
    return None


@dataclass
class Page:
    """A page that was loaded: what it asked for and complained of, and how it looks."""

    socket: websocket.WebSocket
    events: list[dict[str, Any]] = field(default_factory=list)
    _last: int = 0

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol and return its result."""
        self._last += 1
        self.socket.send(json.dumps({"id": self._last, "method": method, "params": parameters}))
        while True:
            message = json.loads(self.socket.recv())
            if message.get("id") == self._last:
                assert "error" not in message, message
                answer: dict[str, Any] = message["result"]
                return answer
            self.events.append(message)

    def open(self, url: str) -> None:
        """Load a page, and wait until all of it is there."""
        for domain in ("Page", "Runtime", "Log", "Network", "DOM", "Accessibility"):
            self.ask(f"{domain}.enable")
        self.ask("Page.navigate", url=url)
        while not any(event["method"] == "Page.loadEventFired" for event in self.events):
            self.events.append(json.loads(self.socket.recv()))

    def evaluate(self, expression: str) -> Any:
        """Return the value of an expression of JavaScript."""
        answer = self.ask("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def complaints(self) -> list[str]:
        """Return what the console shows of errors and warnings."""
        self.evaluate("1")  # what is on its way has arrived with the answer
        told = [event for event in self.events if event["method"] == "Log.entryAdded"]
        return [event["params"]["entry"]["text"] for event in told] + [
            str(event["params"])
            for event in self.events
            if event["method"] in ("Runtime.exceptionThrown", "Runtime.consoleAPICalled")
        ]

    def requests(self) -> list[str]:
        """Return the URLs that were asked for."""
        self.evaluate("1")
        return [
            event["params"]["request"]["url"]
            for event in self.events
            if event["method"] == "Network.requestWillBeSent"
        ]

    def press_tab(self) -> None:
        """Move the keyboard's focus on."""
        for kind in ("rawKeyDown", "keyUp"):
            self.ask(
                "Input.dispatchKeyEvent", type=kind, key="Tab", code="Tab", windowsVirtualKeyCode=9
            )

    def appear(self, *, width: int = 1200, dark: bool = False, media: str = "screen") -> None:
        """Set how wide the page is, for which colours, and for which medium."""
        self.ask(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=900,
            deviceScaleFactor=1,
            mobile=False,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.ask("Emulation.setEmulatedMedia", media=media, features=[scheme])

    def screenshot(self, path: Path) -> Path:
        """Save the whole page as a picture."""
        answer = self.ask("Page.captureScreenshot", captureBeyondViewport=True, format="png")
        path.write_bytes(base64.b64decode(answer["data"]))
        return path

    def print(self, path: Path) -> Path:
        """Save the page as it is printed on A4."""
        answer = self.ask("Page.printToPDF", paperWidth=8.27, paperHeight=11.69)
        path.write_bytes(base64.b64decode(answer["data"]))
        return path


@contextmanager
def page(url: str) -> Iterator[Page]:
    """Give a page in a browser of its own."""
    # Some process of the browser may still write as the last one ends.
    with tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True) as profile:
        options = ["--no-sandbox"] if os.geteuid() == 0 else []  # root has no sandbox there
        options += [f"--user-data-dir={profile}", "--remote-debugging-port=0"]
        with Path(profile, "log").open("wb") as log:
            process = subprocess.Popen(
                ["chromium", "--headless", *_QUIET, *options, "about:blank"],
                stdout=log,
                stderr=log,
            )
        try:
            target = until(lambda: _target(Path(profile)), "Chromium's page", timeout=60, every=0.1)
            socket = websocket.create_connection(target, suppress_origin=True, timeout=60)
            try:
                opened = Page(socket)
                opened.open(url)
                yield opened
                opened.ask("Browser.close")
            finally:
                socket.close()
        finally:
            process.terminate()
            process.wait()


def _target(profile: Path) -> str:
    """Return the address of the blank page, empty until the browser has said it."""
    said = profile / "DevToolsActivePort"
    if not said.exists() or not said.read_text():
        return ""
    port = said.read_text().splitlines()[0]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list", timeout=30) as answer:
        pages = [each for each in json.load(answer) if each["type"] == "page"]
    return str(pages[0]["webSocketDebuggerUrl"]) if pages else ""
