"""How fast a film is colored against the two things that cannot be left out of it.

The bound: transcoding alone with the same encoder settings, then the network alone on the same
frames. What is transcoded is the colored video: it gives an encoder more work than the source
does. Two other ways to do the same, on the same network and video, stand beside it.
"""

from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...runtime.color import F32, gray_to_lightness
from ...runtime.colorizer import Colorizer
from ...runtime.resize import shrink
from ...runtime.video.colorize import VideoReport
from ...runtime.video.options import VideoOptions
from ...runtime.video.source import open_video, video_stream
from ..speed.cost import Cost, cost_of
from ..speed.torch_eager import EagerEngine, checkpoint_of
from ..video.films import frames_of
from ..video.transcode import transcode
from .clips import PRESET
from .frame_by_frame import colorize_frame_by_frame

COLORIZE_RUN, NETWORK = "colorize-run", "network alone"
TRANSCODE, TRANSCODE_SOURCE = "transcoding the colored film", "transcoding the source"
ONNXRUNTIME = "colorize-run --backend onnxruntime"
FRAME_BY_FRAME = "torch eager, frame by frame, OpenCV's writer"
# Of the colored video that is transcoded. A video that has lost its noise is easier to encode, so
# this is low enough to keep it: transcoding then writes as many bytes as colorize-run.
_FAITHFUL_CRF = 12


@dataclass(frozen=True)
class VideoSpeed:
    """One film: what each way of doing it cost, in every repeat."""

    video: str
    width: int
    height: int
    frames: int
    engine: str
    costs: dict[str, tuple[Cost, ...]]
    megabytes: dict[str, float]  # written; those who encode alike write as much
    stages: tuple[dict[str, float], ...]  # of colorize-run: seconds of work, which overlap

    def ratios(self, figure: Callable[[Cost], float], transcode: str = TRANSCODE) -> list[float]:
        """Return colorize-run's FIGURE over that of TRANSCODE plus the network, each repeat's."""
        parts = zip(
            self.costs[COLORIZE_RUN], self.costs[transcode], self.costs[NETWORK], strict=True
        )
        return [figure(run) / (figure(video) + figure(net)) for run, video, net in parts]


def measure_video_speed(
    model: Path,
    video: Path,
    folder: Path,
    options: VideoOptions,
    *,
    repeats: int,
    others: bool,
) -> VideoSpeed:
    """Color FILM with MODEL, REPEATS times each way in turns; scratch files go into FOLDER.

    OTHERS: also by ONNX Runtime, and frame by frame in torch if the model's checkpoint is there.
    """
    reports: list[VideoReport] = []
    with ExitStack() as stack:
        ours = stack.enter_context(Colorizer(model))
        lightness = working_lightness(ours, video)
        # Colorize writes the suffix's own encoder: .mp4 is H.264.
        target, colored = folder / "colored.mp4", folder / "in-color.mp4"
        ours.video(video, colored, VideoOptions(crf=_FAITHFUL_CRF, preset=PRESET))
        ways: dict[str, Callable[[], object]] = {
            COLORIZE_RUN: lambda: reports.append(ours.video(video, target, options)),
            TRANSCODE: lambda: transcode(colored, target, options),
            TRANSCODE_SOURCE: lambda: transcode(video, target, options),
            NETWORK: lambda: infer_all(ours, lightness),
        }
        if others:
            plain = stack.enter_context(Colorizer(model, backend="onnxruntime"))
            ways[ONNXRUNTIME] = lambda: plain.video(video, target, options)
            if checkpoint_of(model) is not None:
                eager = stack.enter_context(EagerEngine(model))
                ways[FRAME_BY_FRAME] = lambda: colorize_frame_by_frame(eager, ours, video, target)
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
    with closing(open_video(video)) as opened:
        context = video_stream(opened).codec_context
        width, height = context.width, context.height
    return VideoSpeed(
        video=video.name,
        width=width,
        height=height,
        frames=len(lightness),
        engine=engine,
        costs={name: tuple(runs) for name, runs in costs.items()},
        megabytes=megabytes,
        stages=tuple(report.stages for report in reports),
    )


def working_lightness(colorizer: Colorizer, video: Path) -> F32:
    """Return what the network sees of VIDEO: L* (N, 1, h, w)."""
    with closing(frames_of(video)) as pictures:
        small = [shrink(gray, colorizer.working_shape(*gray.shape)) for _, gray in pictures]
    return gray_to_lightness(np.stack(small)[:, None])


def infer_all(colorizer: Colorizer, lightness: F32) -> None:
    """Run the network over L* (N, 1, h, w), as many at a time as colorize-run does."""
    batch = colorizer.engine.best_batch
    for first in range(0, len(lightness), batch):
        colorizer.engine.infer(lightness[first : first + batch])
