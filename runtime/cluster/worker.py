"""The worker: an open Colorizer on some node, which does one task at a time.

Ray makes an actor of it. Results are taken, not sent: a worker runs a few messages ahead of the
head and then waits, so that nothing piles up anywhere.
"""

import os
import platform
import shutil
import socket
import tempfile
from collections.abc import Generator, Iterator
from importlib import import_module, metadata
from importlib.util import find_spec
from pathlib import Path

import av
import cv2

from ..colorizer import Colorizer
from ..engines.select import engine_devices
from ..errors import ModelError
from ..files import known_sha256
from ..notices import Notice, OnNotice
from ..video.prefetch import prefetch
from .photo_worker import colored_photos
from .stretches import colored_stretch
from .tasks import Devices, Equipment, Facts, Failed, FilmTask, Finished, Message, Task, sendable

_AHEAD = 4  # messages, each of at most a few megabytes
_DECIDING = ("colorize-toolkit", "numpy", "opencv-python-headless", "av")
_LIBRARIES = {"tensorrt": ("tensorrt", "tensorrt_rtx")}  # of which one is installed
_PREFIX = "colorize-worker-"


class ColorizeWorker:
    """Colors what it is told to, with the head's model and settings."""

    def __init__(self) -> None:
        self._colorizer: Colorizer | None = None
        self._folder: Path | None = None
        self._messages: Generator[Message] | None = None
        self._notices: list[Notice] = []

    def open(self, equipment: Equipment) -> Facts | tuple[str, Exception]:
        """Load the model; return what this worker is, or the node's name and why it cannot work."""
        if equipment.threads is not None:
            cv2.setNumThreads(equipment.threads)
        folder = _own_folder()
        self._folder = folder
        try:
            self._colorizer = _opened(equipment, folder, self._notices.append)
        except Exception as error:
            shutil.rmtree(folder, ignore_errors=True)
            return node_name(), sendable(error)
        return facts(equipment.backend)

    def start(self, task: Task) -> Message:
        """Begin TASK, instead of what is being done, and return the first message about it."""
        self.stop()
        self._messages = prefetch(self._work(task), _AHEAD)
        return self.more()

    def more(self) -> Message:
        """Return the next message; Finished or Failed is the last."""
        if self._messages is None:
            return Finished()
        return next(self._messages, Finished())

    def stop(self) -> None:
        """Give up what is being done."""
        if self._messages is not None:
            self._messages.close()
            self._messages = None

    def close(self) -> None:
        """Give everything back."""
        self.stop()
        if self._colorizer is not None:
            self._colorizer.close()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    @staticmethod
    def devices() -> Devices:
        """Return what engines may compute on here."""
        return {name: list(found) for name, found in engine_devices().items()}

    def _work(self, task: Task) -> Iterator[Message]:
        colorizer, folder = self._colorizer, self._folder
        if colorizer is None or folder is None:
            raise RuntimeError("open() comes first")
        try:
            if isinstance(task, FilmTask):
                messages = colored_stretch(task, colorizer, folder, node_name())
            else:
                messages = colored_photos(task, colorizer, node_name())
            for message in messages:
                while self._notices:
                    yield self._notices.pop(0)
                yield message
        except Exception as error:
            yield Failed(sendable(error))


def facts(backend: str) -> Facts:
    """Return what this process is, with the versions of all that decides colors with BACKEND."""
    libraries = {name: metadata.version(name) for name in _DECIDING}
    libraries["FFmpeg"] = _ffmpeg()
    libraries[backend] = _engine_version(backend)
    return Facts(node_name(), libraries, _processor())


def _engine_version(backend: str) -> str:
    """Return what the library of BACKEND says of itself; its builds have many names in pip."""
    name = next(filter(find_spec, _LIBRARIES.get(backend, ())), backend)
    return str(import_module(name).__version__)


def _ffmpeg() -> str:
    return ".".join(str(part) for part in av.library_versions["libavcodec"])


def node_name() -> str:
    """Return the name by which the user knows this machine."""
    return socket.gethostname()


def _opened(equipment: Equipment, folder: Path, tell: OnNotice) -> Colorizer:
    model = folder / equipment.name
    model.write_bytes(equipment.model.tobytes())
    if equipment.sidecar is not None:
        model.with_suffix(".json").write_bytes(equipment.sidecar)
    found = known_sha256(model)
    if found != equipment.sha256:
        raise ModelError(
            f"{equipment.name}: reached {node_name()} as another file (SHA-256 {found[:12]}, not "
            f"{equipment.sha256[:12]}); run the command again"
        )
    return Colorizer(
        model,
        backend=equipment.backend,
        precision=equipment.precision,
        device=equipment.device,
        size=equipment.size,
        saturation=equipment.saturation,
        refine=equipment.refine,
        cuda_graph=equipment.cuda_graph,
        threads=equipment.threads,
        expects_hints=equipment.expects_hints,
        on_notice=tell,
    )


def _own_folder() -> Path:
    """Make a folder for what waits to be sent; those of workers that were killed go."""
    for left in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        number = left.name.removeprefix(_PREFIX).partition("-")[0]
        if number.isdecimal() and not Path("/proc", number).exists() and Path("/proc").exists():
            shutil.rmtree(left, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-"))


def _processor() -> str:
    """Return the name of the processor, which decides how numbers are rounded."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
