"""Shared by all tests: a tiny model with recognisable colors, and ways to run a command."""

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import numpy as np
import pytest
from av.video.stream import VideoStream
from helpers.commands import Finished, run_command
from helpers.onnx_models import write_model
from PIL import Image

from colorize.runtime.models.catalog import SAMPLES
from colorize.runtime.models.contract import ModelInfo

if TYPE_CHECKING:
    from helpers.bench import Quick

    from colorize.runtime.colorizer import Colorizer
    from colorize.train.checkpoints.checkpoint import Checkpoint

INFO = ModelInfo(
    architecture="unet",
    precision="fp32",
    native_size=64,
    size_multiple=8,
    checkpoint_sha256="0" * 64,
    data_name="none",
    data_fingerprint="0" * 32,
    license="Apache-2.0",
    toolkit_version="0.1.0",
)


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the user's cache folder out of the tests, and the tests out of it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def tiny_info() -> ModelInfo:
    """The metadata of `tiny_model`: native size 64, sides in multiples of 8."""
    return INFO


@pytest.fixture(scope="session")
def save_model() -> Callable[..., Path]:
    """`save_model(path, metadata, input_name=, channels=, sides=, hints=)` writes an ONNX file."""
    return write_model


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ONNX file that keeps the contract: a* = 20 + 0.2 L*, b* = 40 - 0.6 L*."""
    return write_model(tmp_path_factory.mktemp("model") / "tiny.onnx", INFO.to_metadata())


@pytest.fixture(scope="session")
def tiny_hint_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`tiny_model` with hints: their a*, b* times their confidence come on top."""
    info = replace(INFO, takes_hints=True)
    path = tmp_path_factory.mktemp("model") / "tiny-hints.onnx"
    return write_model(path, info.to_metadata(), hints=True)


@pytest.fixture(scope="session")
def colorizer(tiny_model: Path) -> Iterator["Colorizer"]:
    """A Colorizer that runs `tiny_model` in float32."""
    from colorize.runtime.colorizer import Colorizer

    quiet: dict[str, Any] = {"on_notice": lambda _: None}  # the reports have them
    with Colorizer(tiny_model, backend="openvino", precision="fp32", **quiet) as opened:
        yield opened


@pytest.fixture(scope="session")
def photo() -> Path:
    """A colorful photograph among the samples."""
    return SAMPLES / "test" / "tulips.jpg"


@pytest.fixture(scope="session")
def clip() -> Path:
    """The sample film: 100 frames of 512x288 and sound."""
    return SAMPLES / "clip.mp4"


@pytest.fixture(scope="session")
def in_process() -> Callable[..., Finished]:
    """`in_process(main, *arguments)` runs a click command here: exit code, stdout and stderr."""
    return run_command


@pytest.fixture(scope="session")
def in_subprocess() -> Callable[..., Finished]:
    """`in_subprocess(*arguments)` runs Python with these arguments in a process of its own."""

    def run(*arguments: object) -> Finished:
        words = [sys.executable, *(str(argument) for argument in arguments)]
        return subprocess.run(words, capture_output=True, text=True, check=False, timeout=120)

    return run


@pytest.fixture(scope="session")
def colorize_run(in_process: Callable[..., Finished], tiny_model: Path) -> Callable[..., Finished]:
    """`colorize_run(*arguments)` runs colorize-run in this process, with `tiny_model`."""
    from colorize.runtime.cli import main

    def run(*arguments: object) -> Finished:
        return in_process(main, "--model", tiny_model, "--backend", "openvino", *arguments)

    return run


@pytest.fixture
def compiled_parts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The parts of networks that OpenVINO compiles in this test; "" is a whole network."""
    from colorize.runtime.engines import openvino
    from colorize.runtime.engines.openvino_cache import compile_model

    parts: list[str] = []

    def noted(*args: Any, part: str, **options: Any) -> Any:
        parts.append(part)
        return compile_model(*args, part=part, **options)

    monkeypatch.setattr(openvino, "compile_model", noted)
    return parts


@pytest.fixture
def folder(tmp_path: Path, photo: Path) -> Path:
    """A folder with one small photograph, photo.png."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    Image.open(photo).resize((120, 80)).save(folder / "photo.png")
    return folder


def _make_video(
    path: Path,
    *,
    codec: str = "ffv1",
    fmt: str = "yuv420p",
    size: tuple[int, int] = (64, 48),
    times: Sequence[int] = range(0, 400, 40),
    time_base: Fraction = Fraction(1, 1000),
    color_range: int | None = None,
    colorspace: int | None = None,
    aspect: Fraction | None = None,
    options: dict[str, str] | None = None,
    flat: int | None = None,
) -> Path:
    """Write a film of moving stripes, or of the luma code FLAT; TIMES are in units of TIME_BASE."""
    width, height = size
    with av.open(str(path), "w") as video:
        stream = video.add_stream(codec, rate=25, options=options or {})
        assert isinstance(stream, VideoStream)
        context = stream.codec_context
        context.width, context.height, context.pix_fmt = width, height, fmt
        context.time_base = time_base
        if color_range is not None:
            context.color_range = color_range
        if colorspace is not None:
            context.colorspace = colorspace
        if aspect is not None:
            context.sample_aspect_ratio = aspect
        for index, time in enumerate(times):
            frame = _stripes(width, height, index, fmt) if flat is None else None
            frame = frame or _flat(width, height, fmt, flat or 0)
            frame.pts, frame.time_base = time, time_base
            if color_range is not None:
                frame.color_range = color_range
            video.mux(stream.encode(frame))
        video.mux(stream.encode(None))
    return path


def _stripes(width: int, height: int, index: int, fmt: str) -> av.VideoFrame:
    y, x = np.mgrid[:height, :width]
    red = ((x * 3 + y * 2 + index * 7) % 256).astype(np.uint8)
    rgb = np.ascontiguousarray(np.dstack([red, red[::-1], 255 - red]))
    return av.VideoFrame.from_ndarray(rgb, "rgb24").reformat(format=fmt)


def _flat(width: int, height: int, fmt: str, luma: int) -> av.VideoFrame:
    frame = av.VideoFrame(width, height, fmt)
    depth = frame.format.components[0].bits
    for index, plane in enumerate(frame.planes):
        code = 2 ** (depth - 1) if index else luma
        sample = code.to_bytes(1 if depth == 8 else 2, "little")
        plane.update(sample * (plane.buffer_size // len(sample)))
    return frame


@pytest.fixture(scope="session")
def make_video() -> Callable[..., Path]:
    """`make_film(path, codec=, fmt=, size=, times=, ...)` writes a small film."""
    return _make_video


@pytest.fixture(scope="session")
def small_video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A film of ten frames, 64x48, H.264 in MP4, without sound."""
    path = tmp_path_factory.mktemp("film") / "small.mp4"
    return _make_video(
        path, codec="libx264", time_base=Fraction(1, 12800), times=range(0, 5120, 512)
    )


@pytest.fixture(scope="module")
def repeating_encoders() -> Iterator[None]:
    from helpers.video import filled_memory

    with filled_memory():
        yield


@pytest.fixture(scope="module")
def unbroken(
    repeating_encoders: None,
    clip: Path,
    colorizer: "Colorizer",
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """The sample film in color, in segments, without a break."""
    from helpers.video import IN_SEGMENTS

    target = tmp_path_factory.mktemp("unbroken") / "out.mkv"
    colorizer.video(clip, target, IN_SEGMENTS)
    return target


@pytest.fixture(scope="session")
def trained_like() -> Callable[..., "Checkpoint"]:
    """`trained_like(name, config=None)`: random weights, but batch norms as after training."""
    import torch

    from colorize.train.architectures import architecture
    from colorize.train.checkpoints.checkpoint import Checkpoint, Origin

    def make(name: str, config: object = None) -> Checkpoint:
        torch.manual_seed(0)
        entry = architecture(name)
        config = config or entry.presets["small"]
        network = entry.build(config)
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                torch.nn.init.uniform_(module.weight, 0.5, 1.5)
                torch.nn.init.normal_(module.bias, std=0.1)
                torch.nn.init.uniform_(module.running_var, 0.5, 2)  # type: ignore[arg-type]  # a Tensor
        origin = Origin("tests", "0" * 32, 64, "CC0", 1, 16)
        return Checkpoint(name, config, network.eval(), origin)

    return make


@pytest.fixture(scope="session")
def checkpoint_file(
    trained_like: Callable[..., "Checkpoint"], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A slim U-Net: sides in multiples of 32, native size 64."""
    from colorize.train.architectures.unet import UNetConfig

    path = tmp_path_factory.mktemp("checkpoint") / "net.safetensors"
    trained_like("unet", UNetConfig("plain", (16, 32, 32, 48, 64), (48, 32, 32, 16))).save(path)
    return path


@pytest.fixture(scope="session")
def colorize_export(in_process: Callable[..., Finished]) -> Callable[..., Finished]:
    """`colorize_export(*arguments)` runs colorize-export in this process."""
    from colorize.export.cli import main

    def run(*arguments: object) -> Finished:
        return in_process(main, *arguments)

    return run


@pytest.fixture(scope="session")
def exported(
    checkpoint_file: Path,
    colorize_export: Callable[..., Finished],
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Path]:
    """`checkpoint_file` as fp32, fp16 and compact; of fp16 an engine too, where it can be built."""
    folder = tmp_path_factory.mktemp("exported")
    options = {"fp32": (), "fp16": ("--engine", "fp16"), "compact": ("--compact",)}
    made = {name: folder / f"{name}.onnx" for name in options}
    for name, path in made.items():
        run = colorize_export("--checkpoint", checkpoint_file, "-o", path, *options[name])
        assert run.returncode == 0, run.stderr
        assert str(path) in run.stdout.splitlines()
    return made


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """The model that colorize-bench measures."""
    from helpers.bench import INFO

    return write_model(tmp_path / "tiny.onnx", INFO.to_metadata())


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two small photographs in color."""
    from helpers.bench import small_photos

    return small_photos(tmp_path / "photos")


@pytest.fixture
def quick(tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch) -> "Quick":
    """Return what runs colorize-bench on the two photographs and reads its JSON."""
    from helpers.bench import quick_bench

    return quick_bench(tmp_path, photos, monkeypatch)
