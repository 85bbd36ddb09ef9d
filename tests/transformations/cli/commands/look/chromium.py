"""A real Chromium, where this machine has one, driven through its own debugging protocol."""

import json
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
_PATIENCE_SECONDS = 30.0
# The lowest contrast of a text with the page behind it, by the formula of the Web Content Accessibility Guidelines.
CONTRASTS = """(() => {
  const light = (text) => text.match(/[\\d.]+/g).slice(0, 3).map((each) => each / 255)
    .map((each) => (each <= 0.04045 ? each / 12.92 : ((each + 0.055) / 1.055) ** 2.4))
    .reduce((sum, each, place) => sum + each * [0.2126, 0.7152, 0.0722][place], 0);
  const page = light(getComputedStyle(document.body).backgroundColor);
  const contrast = (ink) => (Math.max(ink, page) + 0.05) / (Math.min(ink, page) + 0.05);
  return Math.min(...[...document.querySelectorAll("main *")]
    .filter((each) => each.textContent.trim() && !(each.closest("svg") && each.tagName !== "text"))
    .map((each) => contrast(light(getComputedStyle(each)[each.tagName === "text" ? "fill" : "color"]))));
})()"""


class Browser:
    """One tab. errors: what its console and its scripts complained of."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._number = 0
        self.errors: list[str] = []
        for domain in ("Page", "Runtime", "Log"):
            self._call(f"{domain}.enable")

    def open(self, file: Path) -> None:
        self._call("Page.navigate", url=file.absolute().as_uri())
        place = f"decodeURIComponent(location.pathname).endsWith({json.dumps(file.name)})"
        self.wait_for(f"{place} && document.readyState === 'complete'")

    def show_as(self, width: int, scheme: str) -> None:
        """As on a screen of this width, a phone's below 500 pixels, with the scheme `light` or `dark`."""
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
        self._call("Emulation.setDeviceMetricsOverride", **size)
        self._call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def allow(self, *permissions: str) -> None:
        self._call("Browser.grantPermissions", permissions=permissions)

    def value(self, expression: str) -> Any:
        answer = self._call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        return answer["result"].get("value")

    def wait_for(self, expression: str) -> None:
        until = time.monotonic() + _PATIENCE_SECONDS
        while not self.value(expression):
            assert time.monotonic() < until, f"never became true: {expression}"
            time.sleep(0.02)

    def type_text(self, text: str) -> None:
        self._call("Input.insertText", text=text)

    def press_enter(self) -> None:
        for kind in ("keyDown", "keyUp"):
            self._call("Input.dispatchKeyEvent", type=kind, key="Enter", code="Enter", windowsVirtualKeyCode=13)

    def click(self, selector: str) -> None:
        """A click of the mouse into the middle of the first element that matches."""
        found = f"document.querySelector({json.dumps(selector)})"
        self.value(f"{found}.scrollIntoView({{ block: 'center', inline: 'center' }})")
        box = self.value(f"JSON.parse(JSON.stringify({found}.getBoundingClientRect()))")
        place = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}
        for kind in ("mousePressed", "mouseReleased"):
            self._call("Input.dispatchMouseEvent", type=kind, button="left", clickCount=1, **place)

    def _call(self, method: str, **parameters: object) -> Any:
        self._number += 1
        self._connection.send(json.dumps({"id": self._number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._connection.recv(timeout=_PATIENCE_SECONDS))
            if message.get("id") == self._number:
                assert "error" not in message, message["error"]
                return message["result"]
            self._hear(message)

    def _hear(self, message: dict[str, Any]) -> None:
        parameters = message.get("params", {})
        if message["method"] == "Runtime.exceptionThrown":
            self.errors.append(parameters["exceptionDetails"]["text"])
        elif message["method"] == "Runtime.consoleAPICalled" and parameters["type"] in ("error", "warning"):
            self.errors.append(str(parameters["args"]))
        elif message["method"] == "Log.entryAdded" and parameters["entry"]["level"] == "error":
            self.errors.append(parameters["entry"]["text"])


@contextmanager
def browser(folder: Path, width: int = 1280) -> Iterator[Browser]:
    """A tab of this width; the browser keeps what it writes in the folder, and ends with it."""
    assert PROGRAM is not None, "no Chromium is installed here"
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
    options += [f"--user-data-dir={folder}", "--remote-debugging-port=0", f"--window-size={width},900", "about:blank"]
    with subprocess.Popen([PROGRAM, *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            with connect(_tab(folder / "DevToolsActivePort"), max_size=None, proxy=None) as connection:
                yield Browser(connection)
        finally:
            process.terminate()


def _tab(port_file: Path) -> str:
    until = time.monotonic() + _PATIENCE_SECONDS
    while not (port_file.is_file() and len(port_file.read_text().splitlines()) == 2):
        assert time.monotonic() < until, "Chromium did not start"
        time.sleep(0.05)
    port = int(port_file.read_text().splitlines()[0])
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"http://127.0.0.1:{port}/json") as answer:
        tabs = [each for each in json.load(answer) if each["type"] == "page"]
    return str(tabs[0]["webSocketDebuggerUrl"])
