"""A film's scenes and its reference frames, as the page shows and takes them."""

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ArgumentError, ColorizeError, InputError
from ..files import REFERENCE_NAME, reference_name, whole_file
from .jobs import BUSY, Job
from .media import said
from .pipe import CanceledError, Children, Reporter

_WIDTH = 320  # pixels of a thumbnail
_QUALITY = 85
_VIEWS = "views.json"
_HINTS = "_hints"


@dataclass(frozen=True, kw_only=True)
class SceneView:
    """A scene with one of its frames; indices are counted from 0 in the whole film."""

    number: int  # from 1
    first: int
    last: int
    frame: int  # that is shown, and painted
    start: float  # seconds
    duration: float
    thumbnail: Path  # JPEG, at most 320 pixels wide; in the job's folder
    picture: Path  # PNG of the frame at full size, as the model colors it
    has_reference: bool = False


def find_scenes(
    job: Job,
    model: str | Path,
    on_progress: Callable[[int], None] = lambda _: None,
    children: Children | None = None,
) -> list[SceneView]:
    """Return the scenes of a job's film, each with a frame; found once, then read from the disk.

    MODEL colors the frames. ON_PROGRESS gets the number of frames seen; what it raises ends the
    search. A child process, one of CHILDREN, does the work. InputError if the film cannot be read.
    """
    known = known_scenes(job)
    if known is not None:
        return known
    task = {
        "task": "scenes",
        "lock": str(job.folder / "scenes.lock"),
        "model": str(model),
        "source": str(job.source),
        "folder": str(job.scenes),
        "settings": asdict(job.settings),
    }
    run_for(job, task, lambda event: on_progress(event["frames"]), children)
    return known_scenes(job) or []


def run_for(
    job: Job,
    task: dict[str, Any],
    on_progress: Callable[[dict[str, Any]], None],
    children: Children | None,
) -> None:
    """Let a child process do TASK for JOB; InputError says, without paths, why it could not."""
    log = job.folder / f"{task['task']}.log"
    try:
        with (children or Children()).started(job.id, task, log) as child:
            for event in child.events():
                if event["event"] == "progress":
                    on_progress(event)
    except CanceledError as error:
        raise InputError(f"{job.name}: was stopped") from error
    except ColorizeError as error:
        raise InputError(said(error, job.spoken)) from error


def known_scenes(job: Job) -> list[SceneView] | None:
    """Return what `find_scenes` found earlier, at once; None if it was not asked yet."""
    try:
        views = json.loads((job.scenes / _VIEWS).read_bytes())
    except (OSError, ValueError):
        return None
    painted = set(reference_frames(job))
    return [
        SceneView(
            **view,
            thumbnail=job.scenes / _thumbnail_name(view["frame"]),
            picture=job.scenes / reference_name(view["frame"]),
            has_reference=not painted.isdisjoint(range(view["first"], view["last"] + 1)),
        )
        for view in views
    ]


def look_for_scenes(task: dict[str, Any], reporter: Reporter) -> None:
    """Do what `find_scenes` asks of its child process."""
    from ..colorizer import Colorizer
    from ..video.source import Source, rate_of

    folder, settings = Path(task["folder"]), task["settings"]
    if (folder / _VIEWS).is_file():  # another child was asked first
        return

    def seen(frames: int) -> None:
        reporter.check()
        reporter.progress(frames=frames)

    source = Source(Path(task["source"]))
    with source.open() as container:
        rate = float(rate_of(source.video(container)))
    with Colorizer(
        task["model"],
        size=settings["size"],
        saturation=settings["saturation"],
        on_notice=reporter.notice,
    ) as colorizer:
        scenes = colorizer.extract_references(source.path, folder, on_frame=seen).scenes
    ends = [scene.time for scene in scenes[1:]]
    ends.append(scenes[-1].time + (scenes[-1].last - scenes[-1].first + 1) / rate)
    views = list[dict[str, Any]]()
    for number, (scene, end) in enumerate(zip(scenes, ends, strict=True), 1):
        reporter.check()
        frame = scene.chosen[0]
        _write_thumbnail(folder / reference_name(frame), folder / _thumbnail_name(frame))
        views.append(
            {
                "number": number,
                "first": scene.first,
                "last": scene.last,
                "frame": frame,
                "start": scene.time,
                "duration": round(end - scene.time, 3),
            }
        )
    with whole_file(folder / _VIEWS) as part:
        part.write_text(json.dumps(views))


def _write_thumbnail(picture: Path, target: Path) -> None:
    from PIL import Image

    with whole_file(target) as part, Image.open(picture) as image:
        image.thumbnail((_WIDTH, _WIDTH))
        image.convert("RGB").save(part, "JPEG", quality=_QUALITY)


def _thumbnail_name(frame: int) -> str:
    return f"{frame:06}.jpg"


def set_picture(job: Job, frame: int, picture: Path | NDArray[Any]) -> None:
    """Make PICTURE, a file or sRGB (H, W, 3 or 4), the reference for FRAME, in place of another.

    The array has 8 or 16 bits. InputError if it is no picture or has another aspect than the
    film's frames, ArgumentError while the job is queued or running.
    """
    from ..photo.reader import read_photo

    photo = read_photo(picture) if isinstance(picture, Path) else _as_photo(picture)
    _set(job, frame, photo, strokes=False)


def set_strokes(job: Job, frame: int, rgba: NDArray[Any]) -> None:
    """Make the layer RGBA, sRGB (H, W, 4), the strokes on FRAME; an empty one removes them.

    It has 8 or 16 bits and the frames' aspect. InputError if not, ArgumentError while the job is
    queued or running.
    """
    photo = _as_photo(rgba)
    if photo.alpha is None:
        raise ArgumentError(f"strokes are {rgba.shape}; give (H, W, 4), transparent elsewhere")
    if photo.alpha.any():
        _set(job, frame, photo, strokes=True)
        return
    _check_idle(job)
    _file_of(job, frame, strokes=True).unlink(missing_ok=True)


def remove_reference(job: Job, frame: int) -> None:
    """Forget picture and strokes of FRAME; ArgumentError while the job is queued or running."""
    _check_idle(job)
    for strokes in (False, True):
        _file_of(job, frame, strokes=strokes).unlink(missing_ok=True)


def reference_frames(job: Job) -> list[int]:
    """Return the frames that have a reference, in order."""
    try:
        names = [path.name for path in job.references.iterdir()]
    except OSError:
        return []
    return sorted({int(named[1]) for name in names if (named := REFERENCE_NAME.fullmatch(name))})


def _as_photo(codes: NDArray[Any]) -> Any:
    from ..photo.photo import Photo

    if codes.ndim != 3 or codes.shape[2] not in (3, 4) or codes.dtype not in (np.uint8, np.uint16):
        raise ArgumentError(
            f"a reference is {codes.dtype} {codes.shape}; give uint8 (H, W, 3 or 4)"
        )
    alpha = codes[..., 3] if codes.shape[2] == 4 else None
    return Photo(np.ascontiguousarray(codes[..., :3]), alpha=alpha)


def _check_idle(job: Job) -> None:
    if job.state in BUSY:
        raise ArgumentError(f"{job.name}: is being colored; cancel it before you paint")


def _file_of(job: Job, frame: int, *, strokes: bool) -> Path:
    if not 0 <= frame < 10**9:
        raise InputError(f"{job.name}: has no frame {frame}")
    path = job.references / reference_name(frame)
    return path.with_stem(path.stem + _HINTS) if strokes else path


def _set(job: Job, frame: int, photo: Any, *, strokes: bool) -> None:
    """Store PHOTO as picture or strokes of FRAME, once it proved to fit the film."""
    from ..photo.writer import write_photo
    from ..steering.references import Reference, fitted_references
    from ..video.source import Source

    _check_idle(job)
    target = _file_of(job, frame, strokes=strokes)
    trial = job.folder / f"trial-{target.name}"
    what = {trial: "the strokes" if strokes else "the reference", **job.spoken}
    reference = (
        Reference(frame=frame, strokes=trial) if strokes else Reference(frame=frame, picture=trial)
    )
    try:
        write_photo(trial, photo)
        fitted_references({frame: reference}, Source(job.source))
        job.references.mkdir(exist_ok=True)
        trial.replace(target)
    except ColorizeError as error:
        raise InputError(said(error, what)) from error
    finally:
        with suppress(OSError):
            trial.unlink(missing_ok=True)
