"""A running colorize-web, and what talks to it."""

import json
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

_START = 120  # seconds


@dataclass
class Server:
    """A colorize-web in a process of its own."""

    url: str  # without a slash at its end
    workspace: Path
    said: list[str]  # its lines
    process: "subprocess.Popen[str]"

    def stop(self, number: int = signal.SIGINT) -> int:
        """End it by a signal and return its exit code."""
        self.process.send_signal(number)
        return self.process.wait(60)

    def client(self, cookie: str | None = None, **settings: Any) -> httpx.Client:
        """Return an HTTP client with a browser's COOKIE of its own."""
        cookies = {"colorize-owner": cookie or secrets.token_urlsafe(24)}
        return httpx.Client(base_url=self.url, cookies=cookies, timeout=60, **settings)


@contextmanager
def running_server(workspace: Path, *options: object, ready: bool = True) -> Iterator[Server]:
    """Start colorize-web on a free port, and kill it at the end if it still runs."""
    words = ["--no-browser", "--port", "0", "--workspace", workspace, *options]
    process = subprocess.Popen(
        [sys.executable, "-m", "colorize.runtime.web.cli", *map(str, words)],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    said = list[str]()
    try:
        assert process.stderr is not None
        began = time.monotonic()
        for line in process.stderr:
            said.append(line.rstrip())
            if "Colorize is at " in line:
                break
            assert time.monotonic() - began < _START, said
        url = next((line.split()[3] for line in said if "Colorize is at " in line), "")
        assert url or not ready, said
        threading.Thread(target=said.extend, args=(process.stderr,), daemon=True).start()
        yield Server(url.rstrip("/"), workspace, said, process)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def upload(client: httpx.Client, path: Path, name: str | None = None) -> dict[str, Any]:
    """Upload a file as browsers do, and return what calls are given for it."""
    with path.open("rb") as file:
        answer = client.post("/gradio_api/upload", files={"files": (name or path.name, file)})
    answer.raise_for_status()
    return {"path": answer.json()[0], "meta": {"_type": "gradio.FileData"}}


@dataclass
class Answer:
    """What a call came to: its values, or one line that says why not."""

    values: list[Any] | None
    error: str | None


def failing(client: httpx.Client, name: str, *arguments: Any) -> str:
    """Call a function that must fail, and return the one line that says why."""
    answer = call(client, name, [*arguments, *DEFAULTS.get(name, [])[len(arguments) :]])
    assert answer.values is None, f"{name} answered {answer.values}"
    assert answer.error is not None
    assert answer.error not in ("None", ""), f"{name}: a failure that nobody foresaw"
    return answer.error


def call(client: httpx.Client, name: str, arguments: Sequence[Any]) -> Answer:
    """Call a public function of the page by its name."""
    begun = client.post(f"/gradio_api/call/{name}", json={"data": list(arguments)})
    if begun.status_code != 200:
        return Answer(None, f"{begun.status_code} {begun.text}")
    event = begun.json()["event_id"]
    kind = ""
    with client.stream("GET", f"/gradio_api/call/{name}/{event}") as stream:
        for line in stream.iter_lines():
            if line.startswith("event: "):
                kind = line.removeprefix("event: ")
            elif line.startswith("data: ") and kind in ("complete", "error"):
                content = json.loads(line.removeprefix("data: "))
                if kind == "complete":
                    return Answer(content, None)
                text = content.get("error") if isinstance(content, dict) else content
                return Answer(None, str(text))
    raise AssertionError(f"{name}: no answer")


DEFAULTS: dict[str, list[Any]] = {
    "color_photo": [None, None, 1.0, 0, False, ""],
    "add_film": [None, "", 1.0, 0, True, "mp4", ""],
    "set_reference": ["", 0, None],
}
"""Of functions that take more than they must be given; over HTTP all are given."""


def done(client: httpx.Client, name: str, *arguments: Any) -> Any:
    """Call a function that must not fail, and return its one value or all of them."""
    answer = call(client, name, [*arguments, *DEFAULTS.get(name, [])[len(arguments) :]])
    assert answer.values is not None, f"{name}: {answer.error}"
    return answer.values[0] if len(answer.values) == 1 else answer.values
