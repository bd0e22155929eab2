"""How fast a film is coloured against the two things that cannot be left out of it.

The bound: transcoding alone with the same encoder settings, then the network alone on the same
frames. What is transcoded is the film in colour: an encoder has more work with that than with the
source. Two other ways to do the same, on the same network and film, stand beside it.
"""

import statistics
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from ...runtime.color import F32, grey_to_lightness
from ...runtime.colorizer import Colorizer
from ...runtime.resize import shrink
from ...runtime.video.colorize import FilmReport
from ...runtime.video.frames import grey_of, layout_of, luma_of
from ...runtime.video.options import FilmOptions
from ...runtime.video.reader import film_stream, open_film
from ..speed.cost import Cost, cost_of
from ..speed.torch_eager import checkpoint_of, open_eager
from ..video.transcode import transcode
from .clips import PRESET
from .frame_by_frame import colorize_frame_by_frame

ROAD, NETWORK = "colorize-run", "network alone"
TRANSCODE, TRANSCODE_SOURCE = "transcoding the coloured film", "transcoding the source"
ONNXRUNTIME = "colorize-run --backend onnxruntime"
FRAME_BY_FRAME = "torch eager, frame by frame, OpenCV's writer"
# Of the film in colour that is transcoded: so low that it keeps its noise, and transcoding writes
# as many bytes as the road: a film that has lost its noise is easier to encode.
_FAITHFUL_CRF = 12


@dataclass(frozen=True)
class Ratio:
    """The road over the bound's two parts, one after another, each repeat by itself."""

    median: float
    least: float
    most: float


@dataclass(frozen=True)
class FilmSpeed:
    """One film: what each way of doing it cost, in every repeat."""

    film: str
    width: int
    height: int
    frames: int
    engine: str
    costs: dict[str, tuple[Cost, ...]]
    megabytes: dict[str, float]  # written; those who encode alike write as much
    stages: tuple[dict[str, float], ...]  # of the road: seconds of work, which overlap

    def ratio(self, figure: Callable[[Cost], float], transcode: str = TRANSCODE) -> Ratio:
        """Return the road's FIGURE over that of TRANSCODE plus the network."""
        parts = zip(self.costs[ROAD], self.costs[transcode], self.costs[NETWORK], strict=True)
        ratios = [figure(road) / (figure(film) + figure(net)) for road, film, net in parts]
        return Ratio(statistics.median(ratios), min(ratios), max(ratios))


def measure_film_speed(
    model: Path,
    film: Path,
    folder: Path,
    options: FilmOptions,
    *,
    repeats: int,
    others: bool,
) -> FilmSpeed:
    """Colour FILM with MODEL, REPEATS times each way in turns; scratch files go into FOLDER.

    OTHERS: also by ONNX Runtime, and frame by frame in torch if the model's checkpoint is there.
    """
    reports: list[FilmReport] = []
    with ExitStack() as stack:
        ours = stack.enter_context(Colorizer(model))
        lightness = working_lightness(ours, film)
        # Colorize writes the suffix's own encoder: .mp4 is H.264.
        target, coloured = folder / "coloured.mp4", folder / "in-colour.mp4"
        ours.video(film, coloured, FilmOptions(crf=_FAITHFUL_CRF, preset=PRESET))
        ways: dict[str, Callable[[], object]] = {
            ROAD: lambda: reports.append(ours.video(film, target, options)),
            TRANSCODE: lambda: transcode(coloured, target, options),
            TRANSCODE_SOURCE: lambda: transcode(film, target, options),
            NETWORK: lambda: infer_all(ours, lightness),
        }
        if others:
            ways |= _others(stack, ours, model, film, target, options)
        costs: dict[str, list[Cost]] = {name: [] for name in ways}
        megabytes: dict[str, float] = {}
        infer_all(ours, lightness[: ours.engine.best_batch])  # engines prepare at their first call
        for repeat in range(repeats):
            # Forth and back: a load that grows or fades hits all alike.
            for name in list(ways)[:: 1 if repeat % 2 == 0 else -1]:
                target.unlink(missing_ok=True)
                costs[name].append(cost_of(ways[name]))
                if target.exists():
                    megabytes[name] = target.stat().st_size / 1e6
        engine = str(ours.engine)
    with closing(open_film(film)) as opened:
        context = film_stream(opened).codec_context
        width, height = context.width, context.height
    return FilmSpeed(
        film.name,
        width,
        height,
        len(lightness),
        engine,
        {name: tuple(runs) for name, runs in costs.items()},
        megabytes,
        tuple(report.stages for report in reports),
    )


def _others(
    stack: ExitStack,
    ours: Colorizer,
    model: Path,
    film: Path,
    target: Path,
    options: FilmOptions,
) -> dict[str, Callable[[], object]]:
    plain = stack.enter_context(Colorizer(model, backend="onnxruntime"))
    ways: dict[str, Callable[[], object]] = {
        ONNXRUNTIME: lambda: plain.video(film, target, options)
    }
    if checkpoint_of(model) is not None:
        eager = stack.enter_context(open_eager(model))
        ways[FRAME_BY_FRAME] = lambda: colorize_frame_by_frame(eager, ours, film, target)
    return ways


def working_lightness(colorizer: Colorizer, film: Path, most: int | None = None) -> F32:
    """Return what the network sees of FILM, at most MOST frames: L* (N, 1, h, w)."""
    with closing(open_film(film)) as opened:
        small = []
        layout = None
        for frame in islice(opened.decode(film_stream(opened)), most):
            layout = layout or layout_of(frame)
            grey = grey_of(luma_of(frame, layout), layout)
            small.append(shrink(grey, colorizer.working_shape(*grey.shape)))
    return grey_to_lightness(np.stack(small)[:, None])


def infer_all(colorizer: Colorizer, lightness: F32) -> None:
    """Run the network over L* (N, 1, h, w), as many at a time as colorize-run does."""
    batch = colorizer.engine.best_batch
    for first in range(0, len(lightness), batch):
        colorizer.engine.infer(lightness[first : first + batch])
