"""Chromium without a window, driven over its debugging protocol; where there is none, a test is skipped."""

import base64
import itertools
import json
import shutil
import subprocess
import tempfile
import time
import urllib.request
from contextlib import ExitStack
from pathlib import Path

import pytest

_OPTIONS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0", "--mute-audio",
            "--disable-dev-shm-usage", "--no-first-run", "--disable-extensions")  # fmt: skip


class Browser:
    """A page that is open while the context lasts. size: of its window, pixels."""

    def __init__(self, url, size=(1280, 800), dark=False):
        program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
        if program is None:
            pytest.skip("no Chromium here (apt install chromium)")
        self._client = pytest.importorskip("websockets.sync.client")
        self._open = ExitStack()
        self._folder, self._numbers = tempfile.TemporaryDirectory(), itertools.count(1)
        options = [*_OPTIONS, f"--user-data-dir={self._folder.name}", "--window-size={},{}".format(*size)]
        if dark:
            options.append("--blink-settings=preferredColorScheme=0")
        self._process = subprocess.Popen([program, *options, url], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)

    def __enter__(self):
        port_file, deadline = Path(self._folder.name) / "DevToolsActivePort", time.monotonic() + 60
        while not (port_file.exists() and port_file.read_text().count("\n")):
            assert time.monotonic() < deadline, "Chromium did not start"
            time.sleep(0.05)
        port = port_file.read_text().split("\n")[0]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json", timeout=30) as answer:
            page = next(target for target in json.load(answer) if target["type"] == "page")
        self._socket = self._open.enter_context(self._client.connect(page["webSocketDebuggerUrl"], max_size=2**26))
        return self

    def __exit__(self, *error):
        self._open.close()
        self._process.terminate()
        self._process.wait(30)
        self._folder.cleanup()

    def _call(self, method, **params):
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": params}))
        while (answer := json.loads(self._socket.recv(timeout=30))).get("id") != number:
            pass
        return answer["result"]

    def run(self, script):
        """The value of a JavaScript expression."""
        return self._call("Runtime.evaluate", expression=script, returnByValue=True)["result"].get("value")

    def picture(self):
        """A PNG of the page as it is."""
        return base64.b64decode(self._call("Page.captureScreenshot", format="png")["data"])
