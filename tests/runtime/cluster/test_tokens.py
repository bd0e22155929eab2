"""Which clusters see the token of this machine, and which do not."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from helpers.commands import Finished

from colorize.runtime.cluster.connection import connected
from colorize.runtime.errors import EngineError

TOKEN = "0123456789abcdef0123456789abcdef"
NAMES = ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_ADDRESS", "RAY_TMPDIR")
ALONE = "from ray._private import services; services._find_address_from_flag = lambda _: set()\n"
"""Whatever other clusters run on this machine."""


@dataclass
class Service:
    """Answers as Ray does: an empty message, or that a token is missing."""

    asks: bool
    host: str
    address: str = ""
    shown: list[tuple[str, str | None]] = field(default_factory=list)
    """The methods that were called, and what each call had of a token."""

    def answer(self, details: Any) -> Callable[[bytes, Any], bytes]:
        """Return what answers a call with DETAILS."""
        given = dict(details.invocation_metadata).get("authorization")

        def answered(_: bytes, context: Any) -> bytes:
            import grpc

            self.shown.append((details.method, given))
            if self.asks and given != f"Bearer {TOKEN}":
                context.abort(grpc.StatusCode.UNAUTHENTICATED, "token is missing")
            return b""

        return answered


@pytest.fixture
def serve() -> Iterator[Callable[..., Service]]:
    """`serve(asks=True)`: a service at which Ray looks for a cluster."""
    import grpc
    import ray

    def begin(*, asks: bool) -> Service:
        host = ray.util.get_node_ip_address()  # type: ignore[no-untyped-call]
        service = Service(asks, host)  # Ray puts it in the place of localhost

        class Handler(grpc.GenericRpcHandler):  # type: ignore[misc]
            def service(self, details: Any) -> Any:
                return grpc.unary_unary_rpc_method_handler(service.answer(details))

        server = grpc.server(ThreadPoolExecutor(2), handlers=(Handler(),))
        servers.append(server)
        service.address = f"{service.host}:{server.add_insecure_port(f'{service.host}:0')}"
        server.start()
        return service

    servers = list[Any]()
    yield begin
    for server in servers:
        server.stop(None).wait()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder with a token, and nothing of Ray's in the environment."""
    for name in NAMES:
        monkeypatch.setenv(name, "")  # so that it is as before in the end
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text(TOKEN)
    return tmp_path


def _color(photo: Path, model: Path, cluster: str, home: Path, before: str = "") -> Finished:
    """Color PHOTO in a process of its own: Ray reads the environment when it is imported."""
    code = f"{before}from colorize.runtime import cli; cli.main()"
    known = ["--model", str(model), "--backend", "openvino", "-o", str(home / "out.png")]
    words = [sys.executable, "-c", code, str(photo), *known, "--cluster", cluster]
    return subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("way", ["", "ray://", "auto"])
def test_coloring_shows_the_token_to_a_cluster_that_asks(
    way: str,
    serve: Callable[..., Service],
    home: Path,
    photo: Path,
    tiny_model: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    service = serve(asks=True)
    if way == "auto":
        monkeypatch.setenv("RAY_ADDRESS", service.address)
    address = way if way == "auto" else way + service.address
    run = _color(photo, tiny_model, address, home)
    (_, first), *others = service.shown
    assert first is None  # whether it asks
    assert others, run.stderr
    assert {given for _, given in others} == {f"Bearer {TOKEN}"}
    assert run.returncode == 2, run.stderr  # it is no cluster
    *_, said = run.stderr.splitlines()
    assert said.startswith(f"colorize-run: --cluster {address}: ")


def test_a_noted_cluster_that_asks_for_no_token_sees_none(
    serve: Callable[..., Service],
    home: Path,
    photo: Path,
    tiny_model: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    service = serve(asks=False)
    monkeypatch.setenv("RAY_TMPDIR", str(home))
    (home / "ray").mkdir()
    (home / "ray" / "ray_current_cluster").write_text(service.address)
    run = _color(photo, tiny_model, "auto", home, ALONE)
    assert len(service.shown) > 1, run.stderr
    assert {given for _, given in service.shown} == {None}


@pytest.fixture
def modes(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str | None, bool]]:
    """Of each cluster joined: the mode in the environment, and whether Ray shows tokens."""
    import ray
    from ray._private.authentication.authentication_utils import is_token_auth_enabled

    def init(**_: object) -> None:
        seen.append((os.environ.get("RAY_AUTH_MODE"), is_token_auth_enabled()))
        os.environ["RAY_AUTH_MODE"] = "token"  # as Ray does where it starts a cluster

    seen = list[tuple[str | None, bool]]()
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    return seen


@pytest.mark.usefixtures("home")
def test_a_cluster_does_not_inherit_the_mode_of_the_one_before(
    modes: list[tuple[str | None, bool]], serve: Callable[..., Service]
) -> None:
    for asks in (True, False, True):
        with connected(serve(asks=asks).address):
            pass
        assert "RAY_AUTH_MODE" not in os.environ
    assert modes == [("token", True), ("disabled", False), ("token", True)]


@pytest.mark.usefixtures("home")
def test_the_mode_that_the_user_chose_stands(
    modes: list[tuple[str | None, bool]],
    serve: Callable[..., Service],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    with connected(serve(asks=True).address):
        pass
    assert [mode for mode, _ in modes] == ["disabled"]
    assert os.environ["RAY_AUTH_MODE"] == "disabled"


@pytest.mark.usefixtures("modes")
@pytest.mark.parametrize("way", ["", "ray://"])
def test_a_machine_without_a_token(way: str, serve: Callable[..., Service], home: Path) -> None:
    (home / ".ray" / "auth_token").unlink()
    address = way + serve(asks=True).address
    with (
        pytest.raises(EngineError, match="asks for a token, and this machine has none: copy ~/"),
        connected(address),
    ):
        pytest.fail("it was joined")
