"""What --cluster cannot do: one line and exit code 2, before any work."""

import importlib.util
import signal
import socket
from collections.abc import Callable, Iterator
from importlib import metadata
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
def outside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """This process has joined no cluster, and none runs here; the file in which Ray notes one."""
    import ray
    from ray._private import services

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(services, "_find_address_from_flag", lambda _: set())
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    (tmp_path / "ray").mkdir()
    return tmp_path / "ray" / "ray_current_cluster"


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An address where something listens and says nothing; Ray would try for minutes."""
    import ray

    monkeypatch.setattr(connection, "TIMEOUT", 0.3)
    monkeypatch.setattr(connection, "_NEAR", 0.2)
    monkeypatch.setattr(ray, "init", lambda **_: pytest.fail("it was left to Ray"))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"127.0.0.1:{listening.getsockname()[1]}"


@pytest.mark.usefixtures("outside")
@pytest.mark.parametrize("scheme", ["", "ray://"])
def test_an_address_where_nothing_answers(
    scheme: str, silent: str, colorize_run: ColorizeRun, photo: Path
) -> None:
    place = f"{scheme}{silent}"
    run = colorize_run(photo, "--cluster", place, "--list-devices")
    _assert_refused(run, f"--cluster {place}: nothing answered within 0 seconds", "ray status")


@pytest.mark.parametrize("named_by", ["the environment", "a note"])
def test_auto_where_nothing_answers_any_more(
    named_by: str,
    outside: Path,
    silent: str,
    colorize_run: ColorizeRun,
    photo: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if named_by == "a note":
        outside.write_text(silent)
    else:
        monkeypatch.setenv("RAY_ADDRESS", silent)
    run = colorize_run(photo, "--cluster", "auto", "--list-devices")
    said = f"--cluster auto, at {silent}: nothing answered within 0 seconds"
    _assert_refused(run, said, "ray start --head starts one")


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


@pytest.mark.parametrize("backend", ["openvino", "onnxruntime"])
def test_an_engine_that_was_installed_under_another_name_is_compared(
    backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as onnxruntime-openvino, which is imported as onnxruntime."""
    find = metadata.version

    def other(name: str) -> str:
        if name.startswith(backend):
            raise metadata.PackageNotFoundError(name)
        return find(name)

    monkeypatch.setattr(metadata, "version", other)
    monkeypatch.setattr(pytest.importorskip(backend), "__version__", "9.9")
    assert facts(backend).versions[backend] == "9.9"
