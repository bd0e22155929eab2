"""The scenes of a video, and a frame of each in color, for the user to repaint."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from ..color import U8
from ..errors import InputError
from ..files import REFERENCE_NAME, SCENES_NAME, reference_name, whole_file
from ..photo.photo import Photo
from ..photo.writer import write_photo
from ..video.frames import gray_of
from ..video.picture import Picture
from ..video.reader import VideoReader
from ..video.side_data import upright
from ..video.source import Source
from .scenes import CutDetector, detail

_MIDDLE = (0.25, 0.75)  # part of a scene in which the frame with most detail is chosen


@dataclass(frozen=True)
class Scene:
    """Frames between two cuts; indices are counted from 0 in the whole video."""

    first: int
    last: int
    chosen: tuple[int, ...]  # the frames to paint
    time: float  # of the first, in seconds

    def with_every(self, step: int) -> "Scene":
        """Return it with more frames chosen, STEP apart."""
        own = self.chosen[0]
        more = {*range(own, self.last + 1, step), *range(own, self.first - 1, -step)}
        return replace(self, chosen=tuple(sorted(more)))


@dataclass(frozen=True)
class Extraction:
    """What became of an extraction."""

    scenes: tuple[Scene, ...]
    written: tuple[Path, ...]
    left: int  # frames that had a reference already


def find_scenes(
    source: Source, every: float | None = None, on_frame: Callable[[int], None] = lambda _: None
) -> list[Scene]:
    """Return the scenes of a video; with EVERY, frames that many seconds apart are chosen.

    ON_FRAME gets the number of frames seen. InputError if it cannot be read.
    """
    scenes, details, first, time = list[Scene](), list[float](), 0, 0.0
    detector = CutDetector()
    with source.open() as container:
        stream = source.video(container)
        base, rate = stream.time_base or 1, stream.average_rate or 25
        start = 0
        for index, (picture, gray) in enumerate(_decoded(source)):
            start = start if index else picture.pts
            if detector.is_cut(gray):
                scenes.append(_scene(first, details, time))
                first, details, time = index, [], float((picture.pts - start) * base)
            details.append(detail(gray))
            on_frame(index + 1)
    if not details:
        raise InputError(f"{source.path}: not one frame of it could be decoded")
    scenes.append(_scene(first, details, time))
    if every is None:
        return scenes
    step = max(1, round(every * float(rate)))
    return [scene.with_every(step) for scene in scenes]


def _scene(first: int, details: Sequence[float], time: float) -> Scene:
    begin, end = (int(part * len(details)) for part in _MIDDLE)
    chosen = max(range(begin, max(end, begin + 1)), key=details.__getitem__)
    return Scene(
        first=first, last=first + len(details) - 1, chosen=(first + chosen,), time=round(time, 3)
    )


def extract_references(
    source: Source,
    folder: Path,
    colored: Callable[[U8], U8],
    every: float | None = None,
    on_frame: Callable[[int], None] = lambda _: None,
) -> Extraction:
    """Write a frame of each scene of a video to FOLDER, and the list of scenes.

    COLORED makes sRGB (H, W, 3) of a gray (H, W). A frame that has a file of any kind there is
    left alone: somebody may have painted it. Raises InputError or OutputError.
    """
    scenes = find_scenes(source, every, on_frame)
    chosen = {frame for scene in scenes for frame in scene.chosen}
    known = _frames_with_files(folder)
    missing, written = chosen - known, list[Path]()
    for index, (picture, gray) in enumerate(_decoded(source)) if missing else ():
        if index in missing:
            target = folder / reference_name(index)
            write_photo(target, Photo(colored(upright(gray, picture.layout.display))))
            written.append(target)
        if index >= max(missing):
            break
    with whole_file(folder / SCENES_NAME) as part:
        part.write_text(json.dumps([asdict(scene) for scene in scenes], indent=1) + "\n")
    return Extraction(tuple(scenes), tuple(written), len(chosen & known))


def _frames_with_files(folder: Path) -> set[int]:
    names = (path.name for path in folder.iterdir()) if folder.is_dir() else ()
    return {int(named[1]) for name in names if (named := REFERENCE_NAME.fullmatch(name))}


def _decoded(source: Source) -> Iterator[tuple[Picture, U8]]:
    """Yield each frame with its luma as an 8-bit gray (H, W)."""
    with source.open() as container:
        for picture in VideoReader(source, container).pictures():
            yield picture, gray_of(picture.luma, picture.layout)
