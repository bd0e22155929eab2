"""The self-contained file in a browser: docs/browser.html in headless Chromium."""

import queue
import shutil
import subprocess
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from colorize.export.graphs.image import image_graph
from colorize.runtime.models.catalog import MODELS, SAMPLES
from colorize.runtime.photo.reader import read_photo

ROOT = Path(__file__).parents[2]
NPM = shutil.which("npm")
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(NPM is None, reason="npm is not installed"),
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium or google-chrome is installed"),
]

# Uses the page as its own code does, and sends home what it answered.
DRIVER = """<!doctype html><iframe src="browser.html"></iframe><script>
const frame = document.querySelector("iframe");
frame.onload = async () => {
  try {
    const gray = new frame.contentWindow.Uint8Array(await (await fetch("gray.bin")).arrayBuffer());
    const rgb = await frame.contentWindow.colorize(gray, %d, %d);
    const state = frame.contentDocument.getElementById("state").textContent;
    await fetch("/rgb?" + encodeURIComponent(state), { method: "POST", body: rgb });
  } catch (error) {
    await fetch("/error", { method: "POST", body: String(error) });
  }
};
</script>"""


class Handler(SimpleHTTPRequestHandler):
    """Serves files and keeps what is posted."""

    def __init__(self, *given: Any, posted: "queue.Queue[tuple[str, bytes]]", **more: Any) -> None:
        self.posted = posted
        super().__init__(*given, **more)

    def do_POST(self) -> None:  # the base class' name
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.posted.put((self.path, body))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *given: Any) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    shutil.copy(ROOT / "docs" / "browser.html", folder)
    (folder / "image.onnx").write_bytes(
        image_graph(onnx.load(MODELS / "default.onnx")).SerializeToString()
    )
    assert NPM is not None
    command = [
        NPM,
        "install",
        "--no-audit",
        "--no-fund",
        "--prefix",
        str(folder),
        "onnxruntime-web",
    ]
    installed = subprocess.run(command, capture_output=True, text=True, check=False)
    if installed.returncode:
        pytest.skip(f"npm cannot install onnxruntime-web: {installed.stderr.strip()[-200:]}")
    return folder


@pytest.fixture
def served(site: Path) -> Iterator[tuple[str, "queue.Queue[tuple[str, bytes]]"]]:
    posted: queue.Queue[tuple[str, bytes]] = queue.Queue()
    handler = partial(Handler, posted=posted, directory=str(site))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", posted
        server.shutdown()


def test_the_page_makes_the_picture(
    site: Path, served: tuple[str, "queue.Queue[tuple[str, bytes]]"], tmp_path: Path
) -> None:
    address, posted = served
    gray = read_photo(SAMPLES / "test" / "tulips.jpg").gray()
    (site / "gray.bin").write_bytes(gray.tobytes())
    (site / "driver.html").write_text(DRIVER % gray.shape[::-1])
    command = [
        str(CHROMIUM),
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        f"--user-data-dir={tmp_path}",
        "--remote-debugging-port=0",
        f"{address}/driver.html",
    ]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as browser:
        try:
            path, body = posted.get(timeout=180)
        finally:
            browser.terminate()
    assert path.startswith("/rgb?Ready"), body
    rgb = np.frombuffer(body, np.uint8).reshape(*gray.shape, 3)
    session = onnxruntime.InferenceSession(site / "image.onnx", providers=["CPUExecutionProvider"])
    [expected] = session.run(None, {"gray": gray[None]})[0]
    assert np.abs(rgb.astype(int) - expected).max() <= 2
    assert np.ptp(rgb, axis=-1).mean() > 5
