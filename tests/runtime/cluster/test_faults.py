"""Real workers, nodes and heads that die: nothing is lost, and the film is the same."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Any

import jsonschema
import pytest
from helpers.commands import Finished
from helpers.video import content_of, messages_of

from colorize import runtime
from colorize.runtime.cluster.films import FilmWorkers
from colorize.runtime.colorizer import Colorizer
from colorize.runtime.errors import EngineError, ModelError
from colorize.runtime.video.colorize import VideoProgress
from colorize.runtime.video.options import VideoOptions

FFV1 = VideoOptions(codec="ffv1", segment_frames=16)
Hire = Callable[..., Any]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def alone(film: Path, colorizer: Colorizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The film as one process colors it."""
    target = tmp_path_factory.mktemp("alone") / "alone.mkv"
    colorizer.video(film, target, FFV1)
    return target


def test_a_worker_that_is_killed(
    film: Path, alone: Path, colorizer: Colorizer, hire: Hire, said: list[str], tmp_path: Path
) -> None:
    import ray

    with hire(2) as crew:
        killed = list[int]()

        def kill(progress: VideoProgress) -> None:
            if progress.frames > 60 and not killed:
                busy = [worker for worker in crew._workers if worker.context is not None]
                killed.append(progress.frames)
                ray.kill(busy[0].actor)

        workers = FilmWorkers(crew, stretch_segments=3)
        report = colorizer.video(film, tmp_path / "out.mkv", FFV1, kill, helpers=workers)
    assert content_of(tmp_path / "out.mkv") == content_of(alone)
    assert messages_of(report) == []
    [line] = said
    assert "died at film.mkv: frames " in line
    assert "another takes over" in line


def test_a_canceled_film_leaves_nothing_to_the_next_one(
    film: Path, alone: Path, clip: Path, colorizer: Colorizer, hire: Hire, tmp_path: Path
) -> None:
    cancel = Event()

    def enough(progress: VideoProgress) -> None:
        if progress.frames > 40:
            cancel.set()

    with hire(2) as crew:
        workers = FilmWorkers(crew, stretch_segments=3)
        with pytest.raises(KeyboardInterrupt, match="frames"):
            colorizer.video(
                film, tmp_path / "out.mkv", FFV1, enough, helpers=workers, cancel=cancel
            )
        colorizer.video(clip, tmp_path / "other.mkv", FFV1, helpers=workers)
        report = colorizer.video(film, tmp_path / "out.mkv", FFV1, helpers=workers)
    colorizer.video(clip, tmp_path / "plain.mkv", FFV1)
    assert content_of(tmp_path / "other.mkv") == content_of(tmp_path / "plain.mkv")
    assert report.resumed > 0
    assert content_of(tmp_path / "out.mkv") == content_of(alone)


def test_a_node_that_is_removed(
    cluster: Any,
    film: Path,
    alone: Path,
    colorizer: Colorizer,
    hire: Hire,
    said: list[str],
    tmp_path: Path,
) -> None:
    node = cluster.add_node(num_cpus=2, object_store_memory=80 << 20)
    cluster.wait_for_nodes()
    removed = list[int]()
    with hire(4) as crew:
        assert crew.size == 4

        def remove(progress: VideoProgress) -> None:
            present = sum(bool(worker.node) for worker in crew._workers)
            if present == 4 and progress.frames > 60 and not removed:
                removed.append(progress.frames)
                cluster.remove_node(node)

        workers = FilmWorkers(crew, stretch_segments=2)
        colorizer.video(film, tmp_path / "out.mkv", FFV1, remove, helpers=workers)
    if not removed:
        cluster.remove_node(node)
    assert content_of(tmp_path / "out.mkv") == content_of(alone)
    assert len(said) <= 2
    assert all("another takes over" in line for line in said)


def test_nodes_that_cannot_color_as_the_head_does(hire: Hire, said: list[str]) -> None:
    with hire(2, precision="fp16") as crew, pytest.raises(EngineError, match="no node can color"):
        list(crew.events(lambda: pytest.fail("no worker is there to be given anything")))
    [line] = said
    assert "is left out: " in line
    assert "fp16" in line


def test_a_model_that_arrives_as_another_file(hire: Hire) -> None:
    with hire(1, sha256="0" * 64) as crew, pytest.raises(ModelError, match="as another file"):
        list(crew.events(lambda: pytest.fail("no worker is there to be given anything")))


def test_devices_of_all_nodes_are_listed(
    cluster: Any, colorize_run: Callable[..., Finished]
) -> None:
    run = colorize_run("--list-devices", "--cluster", cluster.address)
    assert run.returncode == 0, run.stderr
    name, first, *_ = run.stdout.splitlines()
    assert name.endswith(":")
    assert "openvino cpu" in run.stdout
    assert first
    listed = json.loads(
        colorize_run("--list-devices", "--cluster", cluster.address, "--json").stdout
    )
    schema = Path(runtime.__file__).with_name("run.schema.json")
    jsonschema.validate(listed, json.loads(schema.read_bytes()))
    [node] = listed["nodes"]
    assert node["problem"] is None
    assert {"openvino", "onnxruntime"} <= {each["backend"] for each in node["devices"]}


def test_a_cluster_is_reached_through_its_client_port(
    cluster: Any,
    film: Path,
    colorize_run: Callable[..., Finished],
    tiny_model: Path,
    tmp_path: Path,
) -> None:
    """`ray start` opens that port with the head; the cluster of these tests has none by itself."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    server = [sys.executable, "-m", "ray.util.client.server", "--mode", "legacy", "--port", port]
    known = ["--model", str(tiny_model), "--backend", "openvino", "--codec", "ffv1"]
    words = [
        str(film),
        *known,
        "-o",
        str(tmp_path / "out.mkv"),
        "--cluster",
        f"ray://localhost:{port}",
    ]
    with subprocess.Popen([*server, "--host", "127.0.0.1", "--address", cluster.address]) as served:
        try:
            run = subprocess.run(
                [sys.executable, "-m", "colorize.runtime.cli", *words],
                capture_output=True,
                text=True,
                check=False,
            )
        finally:
            served.terminate()
    assert run.returncode == 0, run.stderr
    assert "workers" in run.stderr
    assert colorize_run(film, "-o", tmp_path / "alone.mkv", "--codec", "ffv1").returncode == 0
    assert content_of(tmp_path / "out.mkv") == content_of(tmp_path / "alone.mkv")


def test_a_head_that_is_killed_goes_on_where_it_was(
    cluster: Any, film: Path, tiny_model: Path, tmp_path: Path
) -> None:
    code = (
        "import colorize.runtime.video.options as o\n"
        "from dataclasses import replace\n"
        "from colorize.runtime import cli\n"
        "made = o.VideoOptions\n"
        "cli.VideoOptions = lambda **given: made(**given, segment_frames=16)\n"
        "cli.main()\n"
    )
    known = ["--model", str(tiny_model), "--backend", "openvino", "--codec", "ffv1"]
    words = [sys.executable, "-c", code, str(film), *known]
    subprocess.run([*words, "-o", tmp_path / "alone.mkv"], check=True, capture_output=True)
    words += ["-o", str(tmp_path / "out.mkv"), "--cluster", cluster.address]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as run:
        while run.poll() is None:
            if len(list(tmp_path.glob(".out*.parts/*.npz"))) >= 3:
                os.kill(run.pid, signal.SIGKILL)
                run.wait()
        assert run.returncode == -signal.SIGKILL, run.stderr and run.stderr.read()
    assert not (tmp_path / "out.mkv").exists()
    again = subprocess.run(words, check=True, capture_output=True, text=True)
    assert "finished frames" in again.stderr
    assert content_of(tmp_path / "out.mkv") == content_of(tmp_path / "alone.mkv")
