"""Debian's Chromium without a window, driven over a pipe with its own protocol (CDP): no driver, no port, no library.

    https://chromedevtools.github.io/devtools-protocol/

With --remote-debugging-pipe the browser reads commands from descriptor 3 and
writes answers and events to descriptor 4, each a JSON object ended by a NUL.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import select
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

__all__ = ["Browser", "Page"]

PATIENCE = 120.0
OPTIONS = (
    "--headless=new", "--remote-debugging-pipe", "--no-first-run", "--disable-gpu", "--hide-scrollbars",
    "--no-sandbox",  # root has no user to be confined as; the pages are our own
    "--disable-dev-shm-usage", "--disable-extensions", "--disable-sync", "--disable-background-networking",
    "--disable-component-update", "--disable-domain-reliability", "--no-pings", "--metrics-recording-only",
    # Whatever it would still ask of the world: only loopback has an answer.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)  # fmt: skip


class Refused(AssertionError):
    """The browser refused a call, or an expression threw."""


class Browser:
    """One Chromium with a profile of its own in `directory`."""

    def __init__(self, directory: Path) -> None:
        self._buffer = b""
        self._number = 0
        self._answers: dict[int, dict[str, Any]] = {}
        self.events: list[dict[str, Any]] = []
        self._log = directory / "chromium.log"
        command_read, self._write = os.pipe()
        self._read, answer_write = os.pipe()
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                # It inherits the pipes wherever they are; bash puts them where it looks for them (dash has one digit).
                ["bash", "-c", f'exec "$@" 3<&{command_read} 4>&{answer_write}', "bash",
                 "chromium", f"--user-data-dir={directory}", *OPTIONS],
                pass_fds=(command_read, answer_write), stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, env={**os.environ, "HOME": str(directory)}, start_new_session=True,
            )  # fmt: skip
        os.close(command_read)
        os.close(answer_write)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError, AssertionError):
            self.call("Browser.close")
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._write)
        os.close(self._read)

    def call(self, method: str, session: str | None = None, **params: object) -> dict[str, Any]:
        """Call a method of the protocol and return its result."""
        self._number += 1
        message: dict[str, object] = {"id": self._number, "method": method, "params": params}
        if session:
            message["sessionId"] = session
        try:
            os.write(self._write, json.dumps(message).encode() + b"\0")
        except BrokenPipeError:
            raise AssertionError(f"Chromium is gone: {self._log.read_text()}") from None
        deadline = time.monotonic() + PATIENCE
        while self._number not in self._answers:
            assert self.listen(deadline - time.monotonic()), f"Chromium did not answer {method}"
        answer = self._answers.pop(self._number)
        if "error" in answer:
            raise Refused(f"{method}: {answer['error']}")
        result: dict[str, Any] = answer["result"]
        return result

    def listen(self, seconds: float) -> bool:
        """Take in what the browser says, waiting at most so long for it; False when it said nothing."""
        ready, _, _ = select.select([self._read], [], [], max(seconds, 0))
        if not ready:
            return False
        data = os.read(self._read, 1 << 20)
        assert data, f"Chromium is gone: {self._log.read_text()}"
        *messages, self._buffer = (self._buffer + data).split(b"\0")
        for message in map(json.loads, messages):
            if "id" in message:
                self._answers[message["id"]] = message
            else:
                self.events.append(message)
        return True

    def page(self, width: int = 1440, height: int = 900) -> Page:
        """Open an empty page of that size."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = Page(self, target, session)
        for domain in ("Page", "Runtime", "Log", "Network", "Performance"):
            page.call(f"{domain}.enable")
        page.size(width, height)
        return page


class Page:
    """One page, and what it did: its requests, and what it wrote to the console."""

    def __init__(self, browser: Browser, target: str, session: str) -> None:
        self._browser = browser
        self._target = target
        self._session = session

    def call(self, method: str, **params: object) -> dict[str, Any]:
        """Call a method of the protocol for this page."""
        return self._browser.call(method, self._session, **params)

    def size(self, width: int, height: int) -> None:
        """Make the window so wide and high; below 600 it is a telephone's."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1,
                  mobile=width < 600)  # fmt: skip

    def close(self) -> None:
        """Close the page, and with it its connections."""
        self._browser.call("Target.closeTarget", targetId=self._target)

    def go(self, url: str) -> None:
        """Open a URL."""
        self.call("Page.navigate", url=url)

    def run(self, expression: str) -> Any:  # noqa: ANN401
        """Return the value of a JavaScript expression; a promise is waited for, an exception fails the test."""
        answer = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            raise Refused(f"{expression}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def wait(self, expression: str, seconds: float = PATIENCE) -> Any:  # noqa: ANN401
        """Wait until an expression is true, and return its value; while the page is not there yet it may throw."""
        deadline = time.monotonic() + seconds
        # An element would come as an empty object.
        expression = f"((value) => value instanceof Node || value)({expression})"
        while True:
            why: object = None
            try:
                if value := self.run(expression):
                    return value
            except Refused as error:
                why = error
            assert time.monotonic() < deadline, f"waited in vain for {expression}; {why}; {self.complaints()}"
            self._browser.listen(0.05)

    def press(self, key: str, *, shift: bool = False) -> None:
        """Press a key: a character, or a name such as "Tab", "Enter", "ArrowDown"."""
        codes = {"Tab": 9, "Enter": 13, "Escape": 27, "End": 35, "Home": 36, "ArrowUp": 38, "ArrowDown": 40}
        text = {"text": "\r" if key == "Enter" else key} if len(key) == 1 or key == "Enter" else {}
        params = {"key": key, "code": key, "windowsVirtualKeyCode": codes.get(key, ord(key[0].upper()))}
        modifiers = 8 if shift else 0
        self.call("Input.dispatchKeyEvent", type="keyDown", modifiers=modifiers, **params, **text)
        self.call("Input.dispatchKeyEvent", type="keyUp", modifiers=modifiers, **params)

    def click(self, selector: str) -> None:
        """Click with the mouse in the middle of the first element that a CSS selector finds."""
        box = f"document.querySelector({json.dumps(selector)}).getBoundingClientRect()"
        x, y = self.run(f"(({{x, y, width, height}}) => [x + width / 2, y + height / 2])({box})")
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def metrics(self) -> Mapping[str, float]:
        """Return Chromium's own figures: ScriptDuration, LayoutDuration, JSHeapUsedSize, Nodes, ..."""
        return {one["name"]: one["value"] for one in self.call("Performance.getMetrics")["metrics"]}

    def screenshot(self, path: Path) -> None:
        """Write what is seen as a PNG."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))

    def _events(self, method: str) -> Iterator[dict[str, Any]]:
        for event in self._browser.events:
            if event["method"] == method and event.get("sessionId") == self._session:
                yield event["params"]

    def requests(self) -> list[str]:
        """Return the URL of every request that the page made."""
        return [event["request"]["url"] for event in self._events("Network.requestWillBeSent")]

    def complaints(self) -> list[str]:
        """Return every error and warning in the console, every exception, every breach of the page's policy."""
        console = [
            f"{event['type']}: {[one.get('value', one.get('description')) for one in event['args']]}"
            for event in self._events("Runtime.consoleAPICalled")
            if event["type"] in ("error", "warning", "assert")
        ]
        thrown = [str(event["exceptionDetails"]) for event in self._events("Runtime.exceptionThrown")]
        entries = [event["entry"] for event in self._events("Log.entryAdded")]
        return console + thrown + [f"{one['level']}: {one['text']} {one.get('url', '')}" for one in entries]
