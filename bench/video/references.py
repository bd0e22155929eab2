"""Films whose colors come from reference frames, beside plain warping: how near they stay."""

import statistics
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice, pairwise
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from ...runtime.color import F32, U8, gray_to_lightness, rgb_to_lab
from ...runtime.files import reference_name
from ...runtime.resize import shrink
from ...runtime.steering.motion import CARRY_SIDE, pixel_grid, read, side_limited
from ...runtime.video.chroma import Scratch, chroma_planes
from ...runtime.video.frames import build_frame, luma_of
from ...runtime.video.options import VideoOptions
from ...train.metrics import colorfulness, psnr
from ..quality.metrics import RunningMeans, ciede2000, finite
from ..settings import Model, Settings
from .films import NEARLY_GRAY, decoded, frames_of, open_colorizer, rgb_of
from .temporal import Motion, Steadiness, motion

_LOSSLESS = VideoOptions(codec="ffv1")
PLAIN = "plain warping"
GRAY = "gray"


@dataclass(frozen=True)
class ReferenceRow:
    """One way to color a film from that many of its own frames; means leave out those frames."""

    model: str
    references: tuple[int, ...]  # frames, counted from 0
    psnr_db: float | None
    ciede2000: float
    flicker: float | None
    cdc: Mapping[str, float]  # by the distance in frames
    psnr_by_frame: tuple[float | None, ...]  # None: without any error


@dataclass
class _Figures:
    """The figures of one row, frame by frame."""

    references: tuple[int, ...]
    means: RunningMeans = field(default_factory=RunningMeans)
    steadiness: Steadiness = field(default_factory=Steadiness)
    psnr_by_frame: list[float] = field(default_factory=list)

    def add(self, rgb: U8, truth: U8, moved: Motion | None) -> None:
        """Count the next frame (H, W, 3)."""
        own = psnr(rgb, truth)
        figures = self.steadiness.figures(rgb, moved)
        if len(self.psnr_by_frame) not in self.references:
            figures |= {"psnr_db": own, "ciede2000": ciede2000(rgb, truth)}
        self.psnr_by_frame.append(own)
        self.means.add(figures)

    def row(self, model: str) -> ReferenceRow:
        """Return the figures of MODEL."""
        means = self.means.means()
        return ReferenceRow(
            model=model,
            references=self.references,
            psnr_db=finite(means.get("psnr_db")),
            ciede2000=means["ciede2000"],
            flicker=finite(means.get("flicker")),
            cdc={
                name.removeprefix("cdc_"): mean
                for name, mean in means.items()
                if name.startswith("cdc_")
            },
            psnr_by_frame=tuple(finite(value) for value in self.psnr_by_frame),
        )


def places(count: int, frames: int) -> tuple[int, ...]:
    """Return COUNT of FRAMES: the first; the first and the last; evenly spaced for more."""
    if count == 1:
        return (0,)
    return tuple(sorted({round(place) for place in np.linspace(0, frames - 1, count)}))


def measure_references(
    models: Sequence[Model], source: Path, settings: Settings
) -> tuple[ReferenceRow, ...]:
    """Color SOURCE with each of MODELS from as many of its own frames as SETTINGS ask for.

    Gray and plain warping have rows too. A film without colors has none: it is no truth.
    """
    with closing(frames_of(source)) as frames:
        seen = list(
            islice(((colorfulness(rgb), gray) for rgb, gray in frames), settings.video_frames)
        )
    if statistics.fmean(colors for colors, _ in seen) < NEARLY_GRAY:
        return ()
    grays = [gray for _, gray in seen]
    with tempfile.TemporaryDirectory() as folder:
        rows = dict[tuple[str, tuple[int, ...]], Iterator[U8]]()
        rows[GRAY, ()] = (np.dstack([gray] * 3) for gray in grays)
        for count in settings.references:
            chosen = places(count, len(grays))
            given = _given(source, chosen, Path(folder, f"{count}"))
            if chosen:
                rows[PLAIN, chosen] = warped(source, grays, chosen)
            for index, model in enumerate(models):
                target = Path(folder, f"{count}-{index}.mkv")
                with open_colorizer(model, settings) as colorizer:
                    colorizer.video(
                        source, target, _LOSSLESS, references=given, keep_segments=False
                    )
                rows[model.name, chosen] = (rgb for rgb, _ in frames_of(target))
        return _compared(source, grays, rows)


def _compared(
    source: Path, grays: Sequence[U8], films: Mapping[tuple[str, tuple[int, ...]], Iterator[U8]]
) -> tuple[ReferenceRow, ...]:
    figures = {name: _Figures(name[1]) for name in films}
    moves = [None, *(motion(before, now) for before, now in pairwise(grays))]
    with closing(frames_of(source)) as truths:
        for (truth, _), moved in zip(truths, moves, strict=False):
            for name, film in films.items():
                figures[name].add(next(film), truth, moved)
    return tuple(own.row(model) for (model, _), own in figures.items())


def _given(source: Path, chosen: Sequence[int], folder: Path) -> Path | None:
    """Write the CHOSEN frames of SOURCE to FOLDER as references; None if there are none."""
    if not chosen:
        return None
    folder.mkdir()
    for index, rgb in _picked(source, chosen).items():
        Image.fromarray(rgb).save(folder / reference_name(index))
    return folder


def _picked(source: Path, chosen: Sequence[int]) -> dict[int, U8]:
    """Return the CHOSEN frames (H, W, 3) of SOURCE by number."""
    with closing(frames_of(source)) as frames:
        first = enumerate(islice(frames, max(chosen) + 1))
        return {index: rgb for index, (rgb, _) in first if index in chosen}


def warped(source: Path, grays: Sequence[U8], chosen: Sequence[int]) -> Iterator[U8]:
    """Yield frames (H, W, 3) of SOURCE in the colors of the CHOSEN ones, moved along the flow.

    No more than that: DIS flow from frame to frame at a short side of CARRY_SIDE; between two
    references both are blended by distance; nothing is checked or completed.
    """
    shape = side_limited(grays[0].shape[0], grays[0].shape[1], CARRY_SIDE)
    small = [shrink(gray, shape) for gray in grays]
    given = dict[int, F32]()
    for index, rgb in _picked(source, chosen).items():
        ab = np.ascontiguousarray(rgb_to_lab(rgb)[..., 1:])
        small_ab = cv2.resize(ab, shape[::-1], interpolation=cv2.INTER_AREA)
        given[index] = np.asarray(small_ab, np.float32)
    forward = _carried(small, given, range(len(small)))
    backward = _carried(small, given, range(len(small) - 1, -1, -1))
    scratch = Scratch()
    with closing(decoded(source)) as frames:
        for index, (frame, layout) in enumerate(islice(frames, len(grays))):
            before = max((own for own in chosen if own <= index), default=None)
            after = min((own for own in chosen if own >= index), default=None)
            if before is None or after is None:
                ab = (backward if before is None else forward)[index]
            else:
                share = np.float32((index - before) / max(after - before, 1))
                ab = forward[index] + (backward[index] - forward[index]) * share
            planes = chroma_planes(gray_to_lightness(small[index]), ab, layout, scratch)
            colored = build_frame(luma_of(frame, layout), planes, layout)
            colored.colorspace, colored.color_range = frame.colorspace, frame.color_range
            yield rgb_of(colored)


def _carried(grays: Sequence[U8], given: Mapping[int, F32], order: range) -> dict[int, F32]:
    """Return ab (h, w, 2) by frame, carried in ORDER from each that is GIVEN to the next."""
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    x, y = pixel_grid((grays[0].shape[0], grays[0].shape[1]))
    carried, last = dict[int, F32](), None
    for index in order:
        if index in given:
            carried[index] = given[index]
        elif last is not None and last in carried:
            moved = flow.calc(grays[index], grays[last], None)  # type: ignore[call-overload]
            carried[index] = read(carried[last], x + moved[..., 0], y + moved[..., 1])
        last = index
    return carried
