"""The bounds that colorize-run keeps: speed and memory of films, its cold start, hints.

Example: python -m colorize.bench.bounds film.mp4 --height 720 --height 1080
"""

import json
import statistics
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from operator import attrgetter
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from ...runtime.command import Command, console
from ...runtime.files import whole_file
from ...runtime.models.catalog import DEFAULT_MODEL, SAMPLES, find_model
from ...runtime.video.options import VideoOptions
from ..machine import describe_machine
from ..options import DEFAULTS_SHOWN, FILE, PATH, POSITIVE
from ..speed.cost import Cost
from .clips import make_clip
from .cold_start import ColdStart, measure_cold_start
from .hinted import HintedPhoto, measure_hinted
from .video_memory import video_memory
from .video_speed import COLORIZE_RUN, TRANSCODE_SOURCE, VideoSpeed, measure_video_speed

VIDEO_BOUND = 1.15
"""A film's wall seconds over those of transcoding alone plus the network alone."""
START_BOUND = 1.3
"""Cold start over importing the libraries and making the model ready."""
HINTS_BOUND = 1.1
"""`colorize-run photo.jpg` with three hints over that without."""
MEMORY_BOUND = 1.1
"""Peak memory of the longest film over that of the shortest."""

_KINDS = ("video", "start", "hints", "memory")
_PHOTO_SIZES = ((500, 500), (1920, 1080), (4000, 3000))
_PHOTO_REPEATS = 3  # times --repeats: these runs are short
_MEMORY_HEIGHT = 288  # frames that wait in queues are as many at any size
_BUSY = 0.1  # share of the machine that others took, above which wall seconds say little
_BEYOND = 1
_wall, _cpu = attrgetter("wall"), attrgetter("cpu")


@dataclass(frozen=True)
class Ratio:
    """What was measured over its reference; without a bound it only explains another ratio."""

    name: str
    value: float  # the median of the repeats
    least: float
    most: float
    bound: float | None = None

    @classmethod
    def of(cls, name: str, repeats: Sequence[float], bound: float | None = None) -> "Ratio":
        """Sum up the ratios of REPEATS."""
        return cls(name, statistics.median(repeats), min(repeats), max(repeats), bound)

    def beyond(self) -> bool:
        """Return whether it is worse than its bound."""
        return self.bound is not None and self.value > self.bound

    def line(self) -> str:
        """Say it in one line."""
        line = f"{self.name}: {self.value:.3f} ({self.least:.3f} to {self.most:.3f})"
        if self.bound is None:
            return line
        return f"{line}, {'BEYOND' if self.beyond() else 'within'} the bound {self.bound:g}"


@click.command(cls=Command, name="python -m colorize.bench.bounds", context_settings=DEFAULTS_SHOWN)
@click.argument("video", type=PATH, default=SAMPLES / "clip.mp4")
@click.option("--model", default=DEFAULT_MODEL, help="A bundled model or an ONNX file.")
@click.option(
    "--only",
    type=click.Choice(_KINDS),
    multiple=True,
    help="Measure only this; may be repeated. Default: all four.",
)
@click.option(
    "--height",
    "heights",
    type=click.IntRange(min=16),
    multiple=True,
    default=(720, 1080),
    help="Heights to which VIDEO is scaled, aspect kept; may be repeated.",
)
@click.option(
    "--frames",
    type=POSITIVE,
    default=200,
    help="Length of the scaled videos; a shorter one is repeated.",
)
@click.option(
    "--repeats",
    type=POSITIVE,
    default=3,
    help="Repetitions of each measurement; the median counts.",
)
@click.option("--preset", help="The encoder's preset. Default: that of colorize-run.")
@click.option(
    "--others/--no-others",
    default=True,
    show_default=False,
    help="Also measure ONNX Runtime and torch eager.",
)
@click.option(
    "--memory-frames",
    nargs=2,
    type=POSITIVE,
    default=(300, 3000),
    help="Lengths of the two videos whose memory is compared.",
)
@click.option(
    "-o",
    "--output",
    type=FILE,
    default="bounds.json",
    help="File for the figures, as JSON.",
)
def main(
    video: Path,
    model: str,
    only: tuple[str, ...],
    heights: tuple[int, ...],
    frames: int,
    repeats: int,
    preset: str | None,
    others: bool,
    memory_frames: tuple[int, int],
    output: Path,
) -> int:
    """Compare colorize-run with its lower bounds on VIDEO; default: the bundled clip.

    All measurements alternate, so that other programs slow them all alike; the share of the
    machine that those took is printed.

    Exit codes: 0 all within their bounds, 1 one is beyond, 2 bad arguments or unusable input.

    Example: python -m colorize.bench.bounds film.mp4 --height 720
    """
    path, kinds, terminal = find_model(model), only or _KINDS, console()
    ratios: list[Ratio] = []
    document: dict[str, Any] = {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": describe_machine(),
        "model": model,
    }
    with whole_file(output) as part, tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        if "video" in kinds:
            document["videos"] = []
            for height in heights:
                clip = make_clip(video, folder / f"{video.stem}-{height}.mp4", height, frames)
                options = VideoOptions(preset=preset)
                speed = measure_video_speed(
                    path, clip, folder, options, repeats=repeats, others=others
                )
                ratios += show_video(speed, terminal)
                document["videos"].append(asdict(speed))
        if "start" in kinds:
            photo = sorted((SAMPLES / "test").glob("*.jpg"))[0]
            start = measure_cold_start(path, photo, folder / photo.name, repeats)
            ratios.append(show_start(start, terminal))
            document["start"] = asdict(start)
        if "hints" in kinds:
            photo = SAMPLES / "test" / "tulips.jpg"
            count = _PHOTO_REPEATS * repeats
            photos = measure_hinted(path, photo, folder, _PHOTO_SIZES, count)
            ratios += [ratio for each in photos for ratio in show_hinted(each, terminal)]
            document["hinted"] = [asdict(each) for each in photos]
        if "memory" in kinds:
            peaks = _memory(path, video, folder, memory_frames)
            document["memory_mb"] = peaks
            ratios += _memory_ratio(peaks, terminal)
        document["bounds"] = [asdict(ratio) for ratio in ratios]
        part.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    for ratio in ratios:
        click.echo(ratio.line())
    click.echo(output)
    return _BEYOND if any(ratio.beyond() for ratio in ratios) else 0


def show_video(speed: VideoSpeed, terminal: Console) -> list[Ratio]:
    """Print what each way cost; return the ratios of wall and of processor seconds."""
    title = f"{speed.width}x{speed.height}, {speed.frames} frames, {speed.engine}"
    table = Table("", "wall s", "fps", "processor s", "others %", "MB", title=title)
    for name, costs in speed.costs.items():
        wall, cpu = _median(costs, _wall), _median(costs, _cpu)
        busy = _median(costs, lambda cost: cost.others or 0.0)
        rate = speed.frames / wall
        size = f"{speed.megabytes[name]:.1f}" if name in speed.megabytes else "-"
        table.add_row(name, f"{wall:.2f}", f"{rate:.1f}", f"{cpu:.2f}", f"{100 * busy:.0f}", size)
    terminal.print(table)
    stages = {
        stage: statistics.median(run[stage] for run in speed.stages) for stage in speed.stages[0]
    }
    work = ", ".join(f"{stage} {seconds:.2f} s" for stage, seconds in stages.items())
    terminal.print(f"stages of {COLORIZE_RUN}, which overlap: {work}")
    _warn_of_others([cost for costs in speed.costs.values() for cost in costs], terminal)
    video = f"film {speed.width}x{speed.height}"
    return [
        Ratio.of(f"{video}, wall over its parts'", speed.ratios(_wall), VIDEO_BOUND),
        Ratio.of(f"{video}, processor seconds over its parts'", speed.ratios(_cpu)),
        Ratio.of(
            f"{video}, wall over {TRANSCODE_SOURCE} and the network",
            speed.ratios(_wall, TRANSCODE_SOURCE),
        ),
    ]


def show_start(start: ColdStart, terminal: Console) -> Ratio:
    """Print both starts; return their ratio."""
    whole, floor = (_median(costs, _wall) for costs in (start.whole, start.floor))
    terminal.print(f"cold start {whole:.2f} s; its libraries and the model {floor:.2f} s")
    _warn_of_others([*start.whole, *start.floor], terminal)
    ratios = [a.wall / b.wall for a, b in zip(start.whole, start.floor, strict=True)]
    return Ratio.of("cold start over its parts'", ratios, START_BOUND)


def show_hinted(photo: HintedPhoto, terminal: Console) -> list[Ratio]:
    """Print what a photograph cost without hints and with them; return the ratios."""
    name = f"photograph {photo.width}x{photo.height} with hints over without"
    pairs = ((photo.command, photo.command_hinted), (photo.loaded, photo.loaded_hinted))
    texts, ratios = [], []
    for plain, hinted in pairs:
        texts.append(f"{1000 * _median(plain, _wall):.0f} and {1000 * _median(hinted, _wall):.0f}")
        ratios.append([b.wall / a.wall for a, b in zip(plain, hinted, strict=True)])
    terminal.print(f"{name}: {texts[1]} ms without and with; as a command {texts[0]} ms")
    _warn_of_others([cost for pair in pairs for costs in pair for cost in costs], terminal)
    return [
        Ratio.of(f"{name}, as a command", ratios[0], HINTS_BOUND),
        Ratio.of(f"{name}, the model loaded", ratios[1]),
    ]


def _memory(model: Path, video: Path, folder: Path, lengths: Sequence[int]) -> dict[int, float]:
    """Return the peak MB of coloring films of LENGTHS frames; none where the system is silent."""
    peaks = {}
    for frames in lengths:
        clip = make_clip(video, folder / f"long-{frames}.mp4", _MEMORY_HEIGHT, frames)
        peak = video_memory(model, clip, folder / "colored.mp4")
        if peak is not None:
            peaks[frames] = peak
    return peaks


def _memory_ratio(peaks: dict[int, float], terminal: Console) -> list[Ratio]:
    if len(peaks) < 2:
        terminal.print("memory: this system does not say what a process took")
        return []
    told = ", ".join(f"{frames} frames {peak:.0f} MB" for frames, peak in peaks.items())
    terminal.print(f"peak memory of a film: {told}")
    ratio = peaks[max(peaks)] / peaks[min(peaks)]
    return [Ratio.of("memory of the long film over the short", [ratio], MEMORY_BOUND)]


def _warn_of_others(costs: Sequence[Cost], terminal: Console) -> None:
    busiest = max(cost.others or 0.0 for cost in costs)
    if busiest > _BUSY:
        terminal.print(
            f"warning: other programs took up to {busiest:.0%} of this machine: trust the "
            "processor seconds, not the wall seconds"
        )


def _median(costs: Sequence[Cost], figure: Callable[[Cost], float]) -> float:
    return statistics.median(figure(cost) for cost in costs)


if __name__ == "__main__":
    main()
