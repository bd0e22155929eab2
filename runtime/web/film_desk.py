"""What the Film tab does, without its looks: whose films there are, and what is painted on them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ..color import U8
from ..errors import InputError
from ..files import whole_file
from ..photo.reader import read_photo
from .films import Films
from .jobs import Job, Jobs, Settings
from .media import Medium
from .photos import SEEN_SIDE, naming
from .previews import Preview, preview
from .scenes import SceneView, find_scenes, known_scenes, remove_reference, set_picture, set_strokes
from .strokes import Stroke, layer_of_strokes, strokes_as_text, strokes_from

_PAINTED = "painted.json"  # in a job's folder: the strokes on each frame


class FilmDesk:
    """The films of each owner; threads may share it."""

    def __init__(self, jobs: Jobs, films: Films, *, has_media: bool = False) -> None:
        """HAS_MEDIA says that there are --media folders to choose films from."""
        self.has_media = has_media
        self.jobs, self.films, self.library = jobs, films, jobs.library

    def take(self, uploaded: Path, settings: Settings, owner: str) -> Job:
        """Make a job of an uploaded film; InputError says in one line why it cannot be."""
        medium = self.library.receive(uploaded, uploaded.name, owner)
        if medium.kind != "film":
            raise InputError(f"{medium.name}: is a photograph; open it under Photo")
        return self.jobs.create(medium, settings, owner)

    def take_listed(self, medium: str, settings: Settings, owner: str) -> Job:
        """Make a job of a film in a --media folder."""
        return self.jobs.create(self.library.find(medium, owner), settings, owner)

    def listed(self) -> list[Medium]:
        """Return the films in --media folders."""
        return [medium for medium in self.library.listed() if medium.kind == "film"]

    def scenes(self, job: Job, on_progress: Callable[[int], None]) -> list[SceneView]:
        """Return the scenes of a film, which are found once."""
        return find_scenes(job, self.jobs.model_of(job), on_progress, self.jobs.children)

    def scene(self, job: Job, number: int) -> SceneView:
        """Return scene NUMBER, from 1, of a film whose scenes were found; InputError if none."""
        for view in known_scenes(job) or ():
            if view.number == number:
                return view
        raise InputError(f"{job.name}: has no scene {number}, or was not searched for scenes yet")

    def picture(self, view: SceneView) -> U8:
        """Return the frame of a scene in the model's colors, sRGB (h, w, 3), as the page shows."""
        codes = read_photo(view.picture).rgb
        share = min(1.0, SEEN_SIDE / max(codes.shape[:2]))
        if share == 1:
            return codes
        size = [max(1, round(side * share)) for side in codes.shape[1::-1]]
        return np.asarray(cv2.resize(codes, size, interpolation=cv2.INTER_AREA), np.uint8)

    def strokes(self, job: Job, frame: int) -> tuple[Stroke, ...]:
        """Return what is painted on FRAME, in pixels of `picture`."""
        text = _painted(job).get(str(frame))
        return () if text is None else strokes_from(text)

    def paint(self, job: Job, view: SceneView, strokes: tuple[Stroke, ...]) -> bool:
        """Make STROKES the colors of a scene's frame; return whether that is news."""
        if strokes == self.strokes(job, view.frame):
            return False
        height, width = self.picture(view).shape[:2]
        set_strokes(job, view.frame, layer_of_strokes(strokes, (height, width)))
        _remember(job, view.frame, strokes_as_text(strokes))
        return True

    def use_picture(self, job: Job, frame: int, uploaded: Path, owner: str) -> None:
        """Make an uploaded picture the reference of FRAME."""
        medium = self.library.receive(uploaded, uploaded.name, owner)
        if medium.kind != "photo":
            raise InputError(f"{medium.name}: is a film; give a picture of the frame")
        with naming(medium):
            set_picture(job, frame, medium.path)

    def forget(self, job: Job, frame: int) -> None:
        """Remove picture and strokes of FRAME."""
        remove_reference(job, frame)
        _remember(job, frame, None)

    def preview(
        self, job: Job, view: SceneView, on_progress: Callable[[int, int], None]
    ) -> Preview:
        """Color a few seconds of a scene."""
        return preview(
            job,
            view,
            self.jobs.model_of(job),
            on_progress=on_progress,
            children=self.jobs.children,
        )

    def file_of(self, job: Job, what: str) -> Path:
        """Return the result or clip of JOB that clients call WHAT; InputError if there is none."""
        kind, _, key = what.partition("-")
        path = None
        if what in ("film", "download") and job.state == "done":
            path = job.playable if what == "film" else job.target
        elif kind in ("before", "after") and key.isalnum():
            path = job.previews / key / f"{kind}.mp4"
        if path is None or not path.is_file():
            raise InputError(f"{job.name}: has no {kind}")
        return path


def _painted(job: Job) -> dict[str, Any]:
    try:
        found = json.loads((job.folder / _PAINTED).read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _remember(job: Job, frame: int, text: str | None) -> None:
    painted = _painted(job)
    painted.pop(str(frame), None)
    if text is not None:
        painted[str(frame)] = text
    with whole_file(job.folder / _PAINTED) as part:
        part.write_text(json.dumps(painted), encoding="utf-8")
