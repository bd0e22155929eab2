"""Who may ask the page for what: its guard alone, and a running server under attack."""

import asyncio
import random
import secrets
import socket
import struct
import subprocess
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from helpers.page import DEFAULTS, Server, call, done, failing, running_server, upload
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient
from starlette.types import Message, Receive, Scope, Send

from colorize.runtime.errors import ArgumentError
from colorize.runtime.models.catalog import SAMPLES
from colorize.runtime.web.guard import COOKIE, Guard, Rules, host_of
from colorize.runtime.web.server import address, allowed_names, listen
from colorize.runtime.web.strokes import read_painting

PUBLIC = {
    "color_photo",
    "list_media",
    "add_film",
    "list_films",
    "film",
    "film_scenes",
    "set_reference",
    "preview_scene",
    "run_film",
    "cancel_film",
    "remove_film",
}


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
@pytest.mark.parametrize("end", ["cut", "gone", "whole"])
def test_nothing_stays_of_an_upload_that_ends_in_the_middle(tmp_path: Path, end: str) -> None:
    from gradio.route_utils import upload_fn

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await upload_fn(Request(scope, receive), tmp_path, 10**9, None)

    start = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\n'
    messages: list[Message] = [{"type": "http.request", "body": start + b"1", "more_body": True}]
    if end == "cut":
        messages += [{"type": "http.request", "body": bytes(50_000), "more_body": True}] * 5
    if end == "whole":
        messages += [{"type": "http.request", "body": b"\r\n--x--\r\n"}]
    messages += [{"type": "http.disconnect"}]
    seen = list[int]()

    async def receive() -> Message:
        seen.append(sum(path.is_file() for path in tmp_path.rglob("*")))
        return messages.pop(0)

    async def send(message: Message) -> None:
        pass

    headers = [(b"host", b"localhost"), (b"content-type", b"multipart/form-data; boundary=x")]
    scope = {"type": "http", "method": "POST", "path": "/gradio_api/upload", "headers": headers}
    guard = Guard(app, Rules(names=frozenset(["localhost"]), max_upload=100_000))
    asyncio.run(guard({**scope, "query_string": b""}, receive, send))
    assert max(seen) == 1, "it was written while it came"
    assert sum(path.is_file() for path in tmp_path.rglob("*")) == (end == "whole")


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


def bomb(side: int) -> bytes:
    """Return a PNG of SIDE x SIDE black pixels, which packs to next to nothing."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        whole = kind + content
        return struct.pack(">I", len(content)) + whole + struct.pack(">I", zlib.crc32(whole))

    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    packer = zlib.compressobj(9)
    row = bytes(3 * side + 1)
    rows = b"".join(packer.compress(row) for _ in range(min(side, 2000))) + packer.flush()
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@pytest.mark.slow
class TestServer:
    """A running server, asked for what it must not give."""

    def test_every_public_function_is_known(self, page_server: Server) -> None:
        with page_server.client() as client:
            info = client.get("/gradio_api/info").json()
            assert {name.strip("/") for name in info["named_endpoints"]} == PUBLIC
            assert info["unnamed_endpoints"] == {}

    def test_no_file_of_the_machine_is_read(self, page_server: Server, secret_of: Path) -> None:
        with page_server.client() as client:
            for path in (
                secret_of,
                secret_of.with_suffix(".jpg"),  # which can be decoded, if it can be reached
                page_server.workspace / "incoming" / ".." / ".." / "secret.txt",
                page_server.workspace / "secret",
                page_server.workspace / "jobs",
                Path("/etc/passwd"),
                Path("/proc/self/environ"),
            ):
                got = client.get(f"/gradio_api/file={path}")
                assert got.status_code in (403, 404), path
                for meta in ({"meta": {"_type": "gradio.FileData"}}, {}):
                    for name in ("color_photo", "add_film"):
                        given = {"path": str(path), **meta}
                        answer = call(client, name, [given, *DEFAULTS[name][1:]])
                        assert answer.values is None, (name, path)
                        assert "secret of this" not in str(answer.error)

    def test_a_link_out_of_a_media_folder_is_not_listed(self, page_server: Server) -> None:
        with page_server.client() as client:
            assert [medium["name"] for medium in done(client, "list_media")] == ["media/clip.mp4"]

    def test_a_name_is_never_a_path(self, page_server: Server, tmp_path: Path) -> None:
        photo = SAMPLES / "test" / "cat.jpg"
        with page_server.client() as client:
            for name in ("../../../../evil.jpg", "..\\..\\evil.jpg", "/evil.jpg", "%2e%2e%2fevil"):
                given = upload(client, photo, name)
                [file, _] = done(client, "color_photo", given)
                incoming = page_server.workspace / "incoming"
                assert Path(file["path"]).is_relative_to(incoming), name
        named = page_server.workspace.parent.rglob("*evil*")
        assert all(page_server.workspace in path.parents for path in named)

    def test_uploads_over_the_limit_end_while_they_stream(self, page_server: Server) -> None:
        before = set((page_server.workspace / "incoming").rglob("*"))

        def endless() -> Iterator[bytes]:
            yield b'--x\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\n'
            for _ in range(1000):
                yield bytes(100_000)

        with page_server.client() as client:
            kind = {"Content-Type": "multipart/form-data; boundary=x"}
            try:
                answer = client.post("/gradio_api/upload", content=endless(), headers=kind)
                assert answer.status_code == 413
            except httpx.WriteError:
                pass  # it hung up in the middle
            left = set((page_server.workspace / "incoming").rglob("*")) - before
            assert not left, "nothing of it stays on the disk"
            assert client.get("/").status_code == 200

    def test_hostile_files_get_one_line(self, page_server: Server, tmp_path: Path) -> None:
        hostile = {
            "bomb.png": (bomb(60_000), "megapixels"),
            "text.jpg": (b"no picture at all", "neither a picture nor a film"),
            "cut.mp4": ((SAMPLES / "clip.mp4").read_bytes()[:3000], ""),
            "empty.png": (b"", ""),
            "page.svg": (b"<svg xmlns='http://www.w3.org/2000/svg'><script/></svg>", ""),
        }
        with page_server.client() as client:
            for name, (content, words) in hostile.items():
                path = tmp_path / name
                path.write_bytes(content)
                for function in ("color_photo", "add_film"):
                    error = failing(client, function, upload(client, path))
                    assert words in error, (name, error)
                    assert "\n" not in error
                    assert str(page_server.workspace) not in error
                    assert "Traceback" not in error

    def test_what_was_uploaded_is_never_shown_as_a_page(
        self, page_server: Server, tmp_path: Path
    ) -> None:
        for name in ("a.svg", "a.html"):
            path = tmp_path / name
            path.write_text("<svg xmlns='http://www.w3.org/2000/svg'><script>1</script></svg>")
            with page_server.client() as client:
                given = upload(client, path)
                failing(client, "color_photo", given)
                got = client.get(f"/gradio_api/file={given['path']}")
                assert got.headers.get("content-disposition", "").startswith("attachment"), name
                assert "html" not in got.headers["content-type"]
                assert "svg" not in got.headers["content-type"]

    def test_two_browsers_do_not_see_each_others_films(self, page_server: Server) -> None:
        with page_server.client() as anna, page_server.client() as bert:
            film = done(anna, "add_film", upload(anna, SAMPLES / "clip.mp4"))
            assert [each["id"] for each in done(anna, "list_films")] == [film["id"]]
            assert done(bert, "list_films") == []
            for name, more in (
                ("film", []),
                ("film_scenes", []),
                ("run_film", []),
                ("cancel_film", []),
                ("remove_film", []),
                ("preview_scene", [1]),
                ("set_reference", [0, None]),
            ):
                theirs = failing(bert, name, film["id"], *more)
                unknown = failing(bert, name, "A" * 22, *more)
                assert theirs == unknown, "an answer must not tell that there is such a film"
            assert bert.get(f"/results/{film['id']}/download").status_code == 404
            assert done(anna, "remove_film", film["id"]) is True

    @pytest.mark.parametrize("seed", [1, 2])
    def test_junk_to_every_function_is_answered_in_one_line(
        self, page_server: Server, seed: int
    ) -> None:
        dice = random.Random(seed)
        junk: list[Any] = [
            None,
            True,
            -1,
            2**70,
            1e308,
            "",
            "../../../etc/passwd",
            "A" * 22,
            "x" * 10_000,
            "\0",
            [],
            [[[]]],
            {},
            {"path": "/etc/passwd"},
            {"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}},
            {"path": 7, "meta": {"_type": "gradio.FileData"}},
        ]
        with page_server.client() as client:
            for name in sorted(PUBLIC):
                for count in (0, 1, 3, 8):
                    arguments = [dice.choice(junk) for _ in range(count)]
                    error = call(client, name, arguments).error
                    assert error is None or "Traceback" not in error, (name, arguments)
                    assert error is None or str(page_server.workspace) not in error
            assert client.get("/").status_code == 200

    def test_junk_to_the_pages_own_events_is_survived(self, page_server: Server) -> None:
        dice = random.Random(3)
        junk: list[Any] = [None, -1, "", "A" * 22, [], {}, {"id": 1, "strokes": [{}]}, 1e308]
        with page_server.client() as client:
            config = client.get("/config").json()
            session = secrets.token_hex(6)
            for event in config["dependencies"]:
                for _ in range(2):
                    data = [dice.choice(junk) for _ in event["inputs"]]
                    body = {"fn_index": event["id"], "data": data, "session_hash": session}
                    answer = client.post("/gradio_api/queue/join", json=body)
                    assert answer.status_code < 500, (event["id"], data, answer.text)
            unknown = {"fn_index": 9999, "data": [], "session_hash": session}
            assert client.post("/gradio_api/queue/join", json=unknown).status_code != 200
            assert client.get("/config").status_code == 200
            assert done(client, "list_films") == []

    def test_one_server_a_workspace(self, page_server: Server) -> None:
        with running_server(page_server.workspace, ready=False) as second:
            assert second.process.wait(60) == 2
            assert "another colorize-web is using this workspace" in second.said[-1]


@pytest.mark.slow
def test_a_server_for_others_demands_a_login_and_ends_with_0(tmp_path: Path) -> None:
    with running_server(tmp_path / "work", "--host", "0.0.0.0") as server:
        [said] = [line for line in server.said if "password of this run" in line]
        assert "TLS" in " ".join(server.said)
        password = said.split("password of this run: ")[1].split()[0]
        with server.client() as client:
            assert client.get("/config").status_code == 401
            assert call(client, "list_films", []).error is not None
            wrong = client.post("/login", data={"username": "colorize", "password": "guess"})
            assert wrong.status_code == 400
            right = client.post("/login", data={"username": "colorize", "password": password})
            assert right.status_code == 200
            client.cookies.update(right.cookies)
            assert done(client, "list_films") == []
        assert server.stop() == 0


@pytest.mark.slow
def test_the_server_listens_on_loopback_alone(page_server: Server) -> None:
    port = int(page_server.url.rpartition(":")[2])
    outside = _address_of_this_machine()
    if outside is None:
        pytest.skip("this machine has no address but its loopback")
    with pytest.raises(OSError, match=r"refused|timed out"):
        socket.create_connection((outside, port), timeout=5).close()


def _address_of_this_machine() -> str | None:
    found = subprocess.run(["hostname", "-I"], capture_output=True, text=True, check=False)
    addresses = [each for each in found.stdout.split() if ":" not in each]
    return addresses[0] if addresses else None


def test_json_of_strokes_is_checked() -> None:
    stroke = {"color": "#ff0000", "radius": 3, "points": [[1, 2]]}
    assert read_painting({"id": "x", "strokes": [stroke]}).strokes[0].points == ((1.0, 2.0),)
    changes: list[dict[str, Any]] = [
        {"color": "red"},
        {"radius": 0},
        {"radius": 1e9},
        {"radius": float("nan")},
        {"points": []},
        {"points": [[1]]},
        {"points": [[1e99, 0]]},
        {"points": "ab"},
    ]
    for change in changes:
        with pytest.raises(ArgumentError):
            read_painting({"id": "x", "strokes": [stroke | change]})
    wholes: list[Any] = [None, 7, [], {}, {"id": 1, "strokes": {"a": 1}}]
    for whole in wholes:
        with pytest.raises(ArgumentError):
            read_painting(whole)
