"""A running server of the page under attack."""

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

from colorize.runtime.models.catalog import SAMPLES

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

    @pytest.mark.parametrize(("field", "end"), [("files", "\r\n"), ("others", "\r\n--x--\r\n")])
    def test_malformed_uploads_leave_nothing(
        self, page_server: Server, field: str, end: str
    ) -> None:
        incoming = page_server.workspace / "incoming"
        head = f'--x\r\nContent-Disposition: form-data; name="{field}"; filename="a"\r\n\r\n'
        with page_server.client() as client:
            kept = Path(upload(client, SAMPLES / "test" / "cat.jpg")["path"])
            before = set(incoming.rglob("*"))
            kind = {"Content-Type": "multipart/form-data; boundary=x"}
            content = f"{head}{'1' * 100_000}{end}".encode()
            client.post("/gradio_api/upload", content=content, headers=kind)
            assert set(incoming.rglob("*")) == before
        assert kept.is_file()

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
