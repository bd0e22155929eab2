"""A few seconds of one scene before the film runs: before and after, as a browser plays them."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..errors import OutputError
from ..files import sha256, whole_file
from ..notices import Notice
from .jobs import Job
from .media import said
from .pipe import Children, Reporter
from .scenes import SceneView, reference_frames, run_for
from .workspace import remove_folder

_FACTS = "preview.json"
_KEPT = 20  # previews of a job; the oldest go
_NO_COLOR = 128  # chroma of gray, in codes of 8 bits


@dataclass(frozen=True, kw_only=True)
class Preview:
    """Two clips of the same frames: H.264 of 8 bits in MP4, without sound."""

    before: Path  # gray
    after: Path
    frames: int
    notices: tuple[str, ...] = ()


def preview(
    job: Job,
    scene: SceneView,
    model: str | Path,
    *,
    seconds: float = 4.0,
    on_progress: Callable[[int, int], None] = lambda _frames, _total: None,
    children: Children | None = None,
) -> Preview:
    """Color SECONDS of SCENE around its frame, with the job's settings and references.

    The same job, settings and references give the stored clips again. ON_PROGRESS gets the frames
    done and their total. A child process, one of CHILDREN, does the work; what ON_PROGRESS raises
    ends it.
    InputError if a reference is unusable.
    """
    folder = job.previews / _key(job, scene, seconds)
    found = _stored(folder, job)
    if found is not None:
        return found
    start, duration = _stretch(scene, seconds)
    task = {
        "task": "preview",
        "lock": str(job.folder / "preview.lock"),
        "model": str(model),
        "source": str(job.source),
        "folder": str(folder),
        "references": str(job.references) if reference_frames(job) else None,
        "settings": asdict(job.settings),
        "start": start,
        "duration": duration,
    }
    run_for(job, task, lambda event: on_progress(event["frames"], event["total"]), children)
    found = _stored(folder, job)
    if found is None:
        raise OutputError(f"{job.name}: its preview is not there; try again")
    for old in sorted(job.previews.iterdir(), key=lambda path: path.stat().st_mtime)[:-_KEPT]:
        remove_folder(old)
    return found


def _key(job: Job, scene: SceneView, seconds: float) -> str:
    """Return what names a preview: all that it depends on."""
    files = [path.name + sha256(path) for path in _reference_files(job)]
    facts = (asdict(job.settings), sorted(files), scene.first, scene.frame, seconds)
    return sha256(json.dumps(facts, sort_keys=True).encode())[:32]


def _reference_files(job: Job) -> list[Path]:
    return list(job.references.iterdir()) if reference_frames(job) else []


def _stored(folder: Path, job: Job) -> Preview | None:
    try:
        facts = json.loads((folder / _FACTS).read_bytes())
    except (OSError, ValueError):
        return None
    return Preview(
        before=folder / "before.mp4",
        after=folder / "after.mp4",
        frames=facts["frames"],
        notices=tuple(said(message, job.spoken) for message in facts["notices"]),
    )


def _stretch(scene: SceneView, seconds: float) -> tuple[float, float]:
    """Return start and duration of SECONDS around the frame of SCENE, and within it.

    They lie a quarter of a frame early, for times are rounded and the next scene is none of it.
    """
    step = scene.duration / (scene.last - scene.first + 1)
    shown = scene.start + (scene.frame - scene.first) * step
    length = min(seconds, scene.duration)
    latest = scene.start + scene.duration - length
    begin = min(max(shown - length / 2, scene.start), latest)
    start = max(begin - step / 4, 0.0)
    return start, begin + length - step / 4 - start


def make_preview(task: dict[str, Any], reporter: Reporter) -> None:
    """Do what `preview` asks of its child process."""
    from ..colorizer import Colorizer
    from ..video.colorize import VideoProgress
    from ..video.options import VideoOptions

    folder, settings = Path(task["folder"]), task["settings"]
    folder.mkdir(parents=True, exist_ok=True)
    colored = folder / "colored.mkv"

    def progress(now: VideoProgress) -> None:
        reporter.progress(frames=now.frames, total=now.total)

    notices = list[Notice]()
    with Colorizer(
        task["model"],
        size=settings["size"],
        saturation=settings["saturation"],
        on_notice=notices.append,
    ) as colorizer:
        options = VideoOptions(
            preset="veryfast",
            stabilize=settings["stabilize"],
            start=task["start"],
            duration=task["duration"],
        )
        colorizer.video(
            task["source"],
            colored,
            options,
            progress,
            references=task["references"],
            cancel=reporter.cancel,
        )
    frames = _write_clips(colored, folder / "before.mp4", folder / "after.mp4", reporter.check)
    colored.unlink()
    said_of_it = [each.message for each in notices if each.severity == "warning"]
    with whole_file(folder / _FACTS) as part:
        part.write_text(json.dumps({"frames": frames, "notices": said_of_it}))


def _write_clips(film: Path, before: Path, after: Path, check: Callable[[], None]) -> int:
    """Write FILM as browsers play it, without and with its color; return how many frames."""
    import av

    from .playing import Clip, display_of_film, plain

    frames, display = 0, display_of_film(film)
    with av.open(str(film)) as source:
        stream = source.streams.video[0]
        gray, colored = (Clip(target, stream, display=display) for target in (before, after))
        for frame in source.decode(stream):
            check()
            picture = plain(frame)
            planes = picture.to_ndarray()
            planes[picture.height :] = _NO_COLOR
            colored.add(picture, frame.pts, frame.time_base)
            gray.add(av.VideoFrame.from_ndarray(planes, "yuv420p"), frame.pts, frame.time_base)
            frames += 1
        for clip in (gray, colored):
            clip.close()
    return frames
