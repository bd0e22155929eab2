"""Who may ask the page for what: its guard alone, before an application that answers all."""

import asyncio
import errno
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient
from starlette.types import Message, Receive, Scope, Send

from colorize.runtime.web.guard import COOKIE, Guard, Rules, host_of
from colorize.runtime.web.server import address, allowed_names, listen
from colorize.runtime.web.uploads import Uploads


async def _echo(request: Request) -> Response:
    return JSONResponse({"body": len(await request.body()), "cookies": request.cookies})


def guarded(**rules: Any) -> TestClient:
    """Return a client of an application that answers everything, behind the guard."""
    app = Starlette(routes=[Route("/{path:path}", _echo, methods=["GET", "POST"])])
    user_of: Any = rules.pop("user_of", None)
    given: dict[str, Any] = {"names": allowed_names("127.0.0.1"), "max_upload": 100_000} | rules
    guard = Guard(app, Rules(**given), user_of)
    return TestClient(guard, base_url="http://127.0.0.1:7860")


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:7860", 200),
        ("localhost:9999", 200),
        ("[::1]:7860", 200),
        ("LOCALHOST", 200),
        ("evil.example:7860", 421),
        ("127.0.0.1.evil.example", 421),
        ("localhost@evil.example", 421),
        ("192.168.1.7:7860", 421),
        ("", 421),
    ],
)
def test_other_names_are_refused(host: str, status: int) -> None:
    assert guarded().get("/", headers={"Host": host}).status_code == status


def test_a_server_for_others_answers_to_addresses_and_to_names_it_was_told() -> None:
    client = guarded(names=allowed_names("0.0.0.0", ("colors.example.org",)), any_address=True)
    for host, status in (("192.168.1.7:7860", 200), ("colors.example.org", 200), ("evil.org", 421)):
        assert client.get("/", headers={"Host": host}).status_code == status, host


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/proxy=http://127.0.0.1/",
        "/gradio_api/file=http://169.254.169.254/latest",
        "/gradio_api/file=//evil.example/x",
        "/gradio_api/file=file:///etc/passwd",
        "/gradio_api/vibe-edit",
        "/gradio_api/dev/reload",
        "/gradio_api/stream/x/1/2/playlist.m3u8",
        "/gradio_api/component_server",
        "/gradio_api/process_recording",
        "/gradio_api/run-history/records",
        "/gradio_api/mcp",
        "/monitoring",
        "/results/../../etc/passwd",
        "/results/" + "a" * 22 + "/..%2f..%2fjob.json",
        "/docs",
    ],
)
def test_routes_that_the_page_does_not_need_are_closed(path: str) -> None:
    for method in ("GET", "POST"):
        answer = guarded().request(method, path, json={})
        assert answer.status_code in (403, 404), (method, path)


def test_other_sites_cannot_make_a_browser_ask() -> None:
    client = guarded()
    path = "/gradio_api/queue/join"
    assert client.post(path, json={}).status_code == 200
    for headers in (
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:8000"},
        {"Sec-Fetch-Site": "cross-site"},
    ):
        assert client.post(path, json={}, headers=headers).status_code == 403, headers
    plain = client.post(path, content="{}", headers={"Content-Type": "text/plain"})
    assert plain.status_code == 415, "a form of another site needs no permission to send this"


def test_addresses_in_calls_are_not_fetched() -> None:
    client = guarded()
    for name in ("path", "url"):
        for value in ("http://169.254.169.254/", "//evil.example/x", "data:image/png;base64,AA"):
            content = {"data": [[{"deep": {name: value}}]]}
            answer = client.post("/gradio_api/queue/join", json=content)
            assert answer.status_code == 400, content
    own = {"data": [{"path": "/x", "url": "http://127.0.0.1:7860/gradio_api/file=/x"}]}
    assert client.post("/gradio_api/queue/join", json=own).status_code == 200
    proxied = {"data": [{"path": "/x", "url": "https://127.0.0.1:7860/gradio_api/file=/x"}]}
    assert client.post("/gradio_api/queue/join", json=proxied).status_code == 200
    other = {"data": [{"path": "https://127.0.0.1:7860/gradio_api/file=/x"}]}
    assert client.post("/gradio_api/queue/join", json=other).status_code == 400
    deep = "[" * 100_000
    sent = {"content": deep, "headers": {"Content-Type": "application/json"}}
    assert client.post("/gradio_api/queue/join", **sent).status_code == 400  # type: ignore[arg-type]


def test_bodies_are_limited_while_they_stream() -> None:
    client = guarded()
    for content in (b"x" * 200_000, iter([b"x" * 10_000] * 20)):  # told beforehand, and not
        answer = client.post(
            "/gradio_api/upload",
            content=content,
            headers={"Content-Type": "multipart/form-data; boundary=x"},
        )
        assert answer.status_code == 413
        assert "--max-upload" in answer.text
    big = client.post("/gradio_api/queue/join", json={"data": "x" * 5_000_000})
    assert big.status_code == 413


@pytest.mark.slow
@pytest.mark.parametrize("end", ["cut", "gone", "open", "other field", "full disk", "whole"])
def test_nothing_stays_of_an_upload_that_comes_to_nothing(
    tmp_path: Path, end: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gradio.route_utils import GradioUploadFile, upload_fn

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await upload_fn(Request(scope, receive), tmp_path, 10**9, None)

    async def write(self: GradioUploadFile, data: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    if end == "full disk":
        monkeypatch.setattr(GradioUploadFile, "write", write)
    field = b"others" if end == "other field" else b"files"
    start = b'--x\r\nContent-Disposition: form-data; name="%b"; filename="a"\r\n\r\n' % field
    messages: list[Message] = [{"type": "http.request", "body": start + b"1", "more_body": True}]
    if end == "cut":
        messages += [{"type": "http.request", "body": bytes(50_000), "more_body": True}] * 5
    if end in ("whole", "other field"):
        messages += [{"type": "http.request", "body": b"\r\n--x--\r\n"}]
    if end == "open":
        messages += [{"type": "http.request", "body": b"2"}]
    messages += [{"type": "http.disconnect"}]
    seen = list[int]()

    def files() -> int:
        return sum(path.is_file() for path in tmp_path.rglob("*"))

    async def receive() -> Message:
        seen.append(files())
        return messages.pop(0)

    async def send(message: Message) -> None:
        pass

    headers = [(b"host", b"localhost"), (b"content-type", b"multipart/form-data; boundary=x")]
    scope = {"type": "http", "method": "POST", "path": "/gradio_api/upload", "headers": headers}
    rules = Rules(names=frozenset(["localhost"]), max_upload=100_000)
    guard = Guard(app, rules, uploads=Uploads(tmp_path))
    asyncio.run(guard({**scope, "query_string": b""}, receive, send))
    assert max(seen) == (end != "full disk"), "it was written while it came"
    assert files() == (end == "whole")


def test_uploads_at_the_same_time_leave_each_other_alone(tmp_path: Path) -> None:
    uploads, older = Uploads(tmp_path), tmp_path / "older"
    older.touch()

    def there() -> set[str]:
        return {path.name for path in tmp_path.iterdir()}

    with uploads.one():
        (tmp_path / "of the first").touch()
        with uploads.one():
            (tmp_path / "of the second").touch()
            (tmp_path / "whole").mkdir()
        assert there() == {"older", "of the first", "of the second", "whole"}, "whose is unknown"
    assert there() == {"older", "whole"}
    first, second = uploads.one(), uploads.one()
    first.__enter__()
    (tmp_path / "of the first").touch()
    second.__enter__()
    (tmp_path / "of the second").touch()
    first.__exit__(None, None, None)
    assert there() == {"older", "whole", "of the second"}, "that was there before the second began"
    second.__exit__(None, None, None)
    assert there() == {"older", "whole"}


def test_a_browser_gets_a_cookie_once_and_a_policy_always() -> None:
    client = guarded()
    first = client.get("/")
    cookie = first.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert "set-cookie" not in client.get("/").headers
    assert "connect-src 'self'" in first.headers["content-security-policy"]
    assert first.headers["x-content-type-options"] == "nosniff"
    odd = {"Cookie": f'other={{"x":1}}; {COOKIE}={"a" * 32}'}
    assert "set-cookie" not in guarded().get("/", headers=odd).headers, "another program's cookie"
    short = guarded().get("/", headers={"Cookie": f"{COOKIE}=guess"})
    assert "set-cookie" in short.headers, "a secret that can be guessed is none"


def test_a_session_is_its_browsers_alone() -> None:
    client, other = guarded(), {"Cookie": f"{COOKIE}={'b' * 32}"}
    mine = {"Cookie": f"{COOKIE}={'a' * 32}"}
    body = {"session_hash": "abc", "data": []}
    path = "/gradio_api/queue/join"
    assert client.post(path, json=body, headers=mine).status_code == 200
    assert client.post(path, json=body, headers=other).status_code == 403
    listening = "/gradio_api/queue/data?session_hash=abc"
    assert client.get(listening, headers=other).status_code == 403
    assert client.get(listening, headers=mine).status_code == 200


def test_without_a_login_only_its_form_is_answered() -> None:
    client = guarded(user_of=lambda cookies: "anna" if cookies.get("t") == "1" else None)
    for path in ("/", "/assets/x.js", "/login", "/gradio_api/app_id"):
        assert client.get(path).status_code == 200, path
    for path in ("/config", "/gradio_api/info", "/gradio_api/file=/x", "/gradio_api/heartbeat/1"):
        assert client.get(path).status_code == 401, path
        assert client.get(path, headers={"Cookie": "t=1"}).status_code == 200, path


def test_hosts_are_read_as_browsers_write_them() -> None:
    assert host_of("Example.ORG.:80") == "example.org"
    assert host_of("[::1]:7860") == "::1"
    assert host_of("a:b:c") == ""
    assert address("::1", 7) == "http://[::1]:7/"
    assert address("0.0.0.0", 7) == "http://127.0.0.1:7/"


def test_a_taken_port_gives_way_to_the_next() -> None:
    with listen("127.0.0.1", 0) as first:
        taken = first.getsockname()[1]
        with listen("127.0.0.1", taken) as second:
            assert taken < second.getsockname()[1] < taken + 100
