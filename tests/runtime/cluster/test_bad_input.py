"""What --cluster cannot do: one line and exit code 2, before any work."""

import importlib.util
import os
import signal
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from helpers.commands import Finished

from colorize.runtime.cluster import connection, crew
from colorize.runtime.cluster.worker import facts
from colorize.runtime.errors import EngineError

ColorizeRun = Callable[..., Finished]


def _assert_refused(run: Finished, *parts: str) -> None:
    assert run.returncode == 2, run.stderr
    assert run.stderr.startswith("colorize-run: ")
    assert len(run.stderr.splitlines()) == 1
    for part in parts:
        assert part in run.stderr


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("-o", "-"), "--cluster takes files: a pipe reaches one machine alone"),
        (("--show",), "--show does not go with --cluster; leave it out"),
        (("--dry-run",), "--dry-run does not go with --cluster"),
        (("--extract-references", "refs"), "--extract-references does not go with --cluster"),
    ],
)
def test_what_does_not_go_with_a_cluster(
    more: tuple[str, ...], said: str, colorize_run: ColorizeRun, photo: Path
) -> None:
    _assert_refused(colorize_run(photo, "--cluster", "local", *more), said)


def test_workers_without_a_cluster(colorize_run: ColorizeRun, photo: Path) -> None:
    _assert_refused(colorize_run(photo, "--workers", "2"), "--workers goes with --cluster")


def test_an_empty_address(colorize_run: ColorizeRun, photo: Path) -> None:
    _assert_refused(colorize_run(photo, "--cluster", ""), "--cluster: is empty; give local")


def test_a_pipe_as_input(colorize_run: ColorizeRun) -> None:
    _assert_refused(colorize_run("-", "-o", "out.png", "--cluster", "local"), "a pipe reaches one")


@pytest.mark.parametrize("more", [(), ("--list-devices",)])
def test_without_ray_the_extra_is_named(
    more: tuple[str, ...], colorize_run: ColorizeRun, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec

    def without(name: str, *given: Any) -> Any:
        return None if name == "ray" else find(name, *given)

    monkeypatch.setattr(importlib.util, "find_spec", without)
    run = colorize_run(photo, "--cluster", "auto", *more)
    _assert_refused(run, "needs ray: pip install 'colorize-toolkit[cluster]'")


@pytest.fixture
def outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process has joined no cluster."""
    import ray

    monkeypatch.setattr(ray, "is_initialized", lambda: False)


@pytest.mark.usefixtures("outside")
@pytest.mark.parametrize("scheme", ["", "ray://"])
def test_an_address_where_nothing_answers(
    scheme: str, colorize_run: ColorizeRun, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "TIMEOUT", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # listens, and says nothing
        place = f"{scheme}127.0.0.1:{silent.getsockname()[1]}"
        run = colorize_run(photo, "--cluster", place, "--list-devices")
    _assert_refused(run, f"--cluster {place}: nothing answered within 0 seconds", "ray status")


@pytest.mark.usefixtures("outside")
def test_a_noted_cluster_that_has_ended_is_left_to_ray(
    colorize_run: ColorizeRun, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray

    def refuse(**_: object) -> None:
        raise ConnectionError("Could not find any running Ray instance")

    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(ray, "init", refuse)
    monkeypatch.setattr(connection, "_NEAR", 0.1)
    monkeypatch.setattr(connection, "_NOTED", tmp_path / "noted")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        (tmp_path / "noted").write_text(f"127.0.0.1:{silent.getsockname()[1]}")
        run = colorize_run(photo, "--cluster", "auto", "--list-devices")
    _assert_refused(run, "no Ray cluster runs on this machine; start one with: ray start --head")


@pytest.mark.usefixtures("outside")
def test_a_word_that_is_no_address(colorize_run: ColorizeRun, photo: Path) -> None:
    run = colorize_run(photo, "--cluster", "attic", "--list-devices")
    _assert_refused(run, "--cluster attic: is no address; give local, auto, HOST:6379 or ray://")


@pytest.mark.usefixtures("outside")
@pytest.mark.parametrize(
    ("address", "error", "said"),
    [
        ("auto", ConnectionError("Could not find any running Ray instance"), "ray start --head"),
        (
            "local",
            RuntimeError("Version mismatch: the cluster has Ray 2.50.0,\nthis process 2.60.0"),
            "has other versions: Version mismatch: the cluster has Ray 2.50.0, this process 2.60.0",
        ),
    ],
)
def test_what_ray_refuses(
    address: str,
    error: Exception,
    said: str,
    colorize_run: ColorizeRun,
    photo: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import ray

    def refuse(**_: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise error

    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(ray, "init", refuse)
    _assert_refused(colorize_run(photo, "--cluster", address, "--list-devices"), said)
    assert signal.getsignal(signal.SIGTERM) is before or callable(signal.getsignal(signal.SIGTERM))
    assert signal.getsignal(signal.SIGTERM) is not signal.SIG_IGN


@pytest.fixture
def answers() -> Iterator[Callable[..., str]]:
    """`answers(asks=True)`: the address of a service that asks for a token, as Ray does."""
    import grpc

    def serve(*, asks: bool) -> str:
        def answer(_: bytes, context: Any) -> bytes:
            if asks:
                context.abort(grpc.StatusCode.UNAUTHENTICATED, "token is missing")
            return b""

        class Handler(grpc.GenericRpcHandler):  # type: ignore[misc]
            def service(self, _: Any) -> Any:
                return grpc.unary_unary_rpc_method_handler(answer)

        server = grpc.server(ThreadPoolExecutor(1), handlers=(Handler(),))
        servers.append(server)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        return f"127.0.0.1:{port}"

    servers = list[Any]()
    yield serve
    for server in servers:
        server.stop(None).wait()


@pytest.mark.usefixtures("outside")
@pytest.mark.parametrize("way", ["auto", "", "ray://"])
@pytest.mark.parametrize(
    ("asks", "has", "modes", "said"),
    [
        (
            True,
            True,
            ["token"],
            "timeout; has its head the same ~/.ray/auth_token as this machine?",
        ),
        (True, False, [], "asks for a token, and this machine has none: copy ~/.ray/auth_token"),
        (False, True, [None], "ray client connection timeout\n"),
    ],
)
def test_a_cluster_that_asks_for_a_token_is_shown_that_of_this_machine(
    way: str,
    asks: bool,
    has: bool,
    modes: list[str | None],
    said: str,
    answers: Callable[..., str],
    colorize_run: ColorizeRun,
    photo: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import ray

    def refuse(**_: object) -> None:
        seen.append(os.environ.get("RAY_AUTH_MODE"))
        raise ConnectionError("ray client connection timeout")

    seen = list[str | None]()
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_ADDRESS"):
        monkeypatch.setenv(name, "")  # so that it is as before in the end
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    if has:
        (tmp_path / ".ray").mkdir()
        (tmp_path / ".ray" / "auth_token").write_text("0123")
    monkeypatch.setattr(ray, "init", refuse)
    place = answers(asks=asks)
    (tmp_path / "noted").write_text(place)
    monkeypatch.setattr(connection, "_NOTED", tmp_path / "noted")
    address = way if way == "auto" else way + place
    run = colorize_run(photo, "--cluster", address, "--list-devices")
    assert seen == modes
    _assert_refused(run, said)


def test_other_versions_on_a_node_are_refused_with_its_name() -> None:
    own = facts("openvino").versions
    crew.refuse_other_versions(own, dict(own), "attic")
    with pytest.raises(EngineError, match=r"node attic has av 1\.0, and .* has .*: install"):
        crew.refuse_other_versions(own, {**own, "av": "1.0"}, "attic")
    missing = {name: version for name, version in own.items() if name != "openvino"}
    with pytest.raises(EngineError, match=r"the node attic has openvino not at all"):
        crew.refuse_other_versions(own, missing, "attic")


def test_the_version_of_the_engine_in_use_counts_and_no_other() -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    own = facts("onnxruntime").versions
    assert own["onnxruntime"] == onnxruntime.__version__
    assert "openvino" not in own
    other = {**own, "onnxruntime": "1.0"}
    with pytest.raises(
        EngineError, match=r"node attic has onnxruntime 1\.0, and .* has .*: instal"
    ):
        crew.refuse_other_versions(own, other, "attic")
