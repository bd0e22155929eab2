"""The command colorize-run: arguments only."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from .command import Command, console
from .errors import ArgumentError, ColorizeError, ModelError
from .jobs import PIPE, Job, plan, run_all
from .models.catalog import DEFAULT_MODEL, ModelSummary, listed_models

if TYPE_CHECKING:
    from .colorizer import Colorizer
    from .engines.base import Precision
    from .video.colorize import Progress as VideoProgress
    from .video.options import VideoOptions

NOTHING_PRODUCED = 1
SOME_FAILED = 3


@click.command(cls=Command, name="colorize-run")
@click.argument("inputs", nargs=-1, type=click.Path(path_type=Path), metavar="INPUT...")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="File (for one input) or folder. Default: STEM_colorized.EXT beside each input.",
)
@click.option("--overwrite", is_flag=True, help="Replace results that exist.")
@click.option("--recursive", is_flag=True, help="Look into sub-folders too.")
@click.option(
    "--model",
    default=DEFAULT_MODEL,
    show_default=True,
    help="A bundled model, an ONNX file, or a folder with one in it.",
)
@click.option("--list-models", is_flag=True, help="List the bundled models, or those of --model.")
@click.option(
    "--backend",
    default="auto",
    show_default=True,
    help="auto (the fastest that works here), tensorrt, onnxruntime or openvino.",
)
@click.option(
    "--device",
    default="auto",
    show_default=True,
    help="auto, cpu, cuda or cuda:1 (NVIDIA), gpu or npu (Intel), tensorrt (ONNX Runtime's own).",
)
@click.option(
    "--cuda-graph", is_flag=True, help="TensorRT: launch the work for each shape as a whole."
)
@click.option("--list-devices", is_flag=True, help="List what can compute here, and why not.")
@click.option(
    "--precision",
    type=click.Choice(["auto", "fp32", "bf16", "fp16"]),
    default="auto",
    show_default=True,
    help="Of the arithmetic. auto: the device's fastest that the model's proofs allow.",
)
@click.option(
    "--size", type=int, help="Short side at which the network works. Default: the model's own."
)
@click.option(
    "--saturation", type=float, default=1.0, show_default=True, help="Strength of the colors."
)
@click.option(
    "--refine/--no-refine",
    default=False,
    show_default=True,
    help="Photographs: colors follow the edges of lightness, which brings the more, the nearer "
    "a model's colors are to the truth.",
)
@click.option(
    "--max-pixels",
    type=click.IntRange(min=1),
    help="Refuse photographs with more pixels. Default: 250 million.",
)
@click.option("--show", is_flag=True, help="Open the result in the system's viewer.")
@click.option(
    "--codec",
    help="Film: libx264 (default), libx265, libvpx-vp9, libsvtav1, ffv1, or of hardware: "
    "h264_nvenc, hevc_nvenc, h264_qsv, h264_vaapi, h264_videotoolbox and their like.",
)
@click.option("--crf", type=int, help="Film: quality, smaller is better.")
@click.option("--preset", help="Film: the encoder's speed.")
@click.option(
    "--stabilize/--no-stabilize",
    default=True,
    show_default=True,
    help="Film: hold the colors still from frame to frame.",
)
@click.version_option(package_name="colorize-toolkit")
def main(
    inputs: tuple[Path, ...],
    output: Path | None,
    overwrite: bool,
    recursive: bool,
    model: str,
    list_models: bool,
    backend: str,
    device: str,
    cuda_graph: bool,
    list_devices: bool,
    precision: "Precision",
    size: int | None,
    saturation: float,
    refine: bool,
    max_pixels: int | None,
    show: bool,
    codec: str | None,
    crf: int | None,
    preset: str | None,
    stabilize: bool,
) -> int:
    """Give photographs and films their color.

    Exit codes: 0 all done, 1 nothing produced, 2 bad arguments or unusable input, 3 some failed.

    INPUT is a file, a folder, a pattern such as 'scans/*.tif', or - for a
    photograph or raw film (y4m) from stdin; -o - writes such to stdout.

    A film that was stopped is gone on with by the same command.

    Example: colorize-run film.mp4 photos/ -o colored/
    """
    if list_models:
        return _list_models(model)
    if list_devices:
        print_devices()
        return 0
    if not inputs:
        raise click.UsageError("Missing argument 'INPUT...'.")
    jobs = plan(inputs, output, overwrite=overwrite, recursive=recursive, max_pixels=max_pixels)
    if show and (len(jobs) > 1 or jobs[0].target == PIPE):
        raise ArgumentError("--show takes one input and a file as output")
    from .colorizer import Colorizer  # engines load after the arguments proved good
    from .video.options import VideoOptions

    terminal = console()

    def note(line: str) -> None:
        terminal.print(line, soft_wrap=True, markup=False)

    with (
        _without_converter(),
        Colorizer(
            model,
            backend=backend,
            precision=precision,
            device=device,
            size=size,
            saturation=saturation,
            refine=refine,
            cuda_graph=cuda_graph,
            on_note=note,
        ) as colorizer,
    ):
        line = f"{model}: {colorizer.engine}; working size {colorizer.size}"
        note(line)
        code = _run(jobs, colorizer, VideoOptions(codec, crf, preset, stabilize), terminal)
    if show and click.launch(str(jobs[0].target)) != 0:
        terminal.print("--show: this system has no viewer that could be opened")
    return code


@contextmanager
def _without_converter() -> Iterator[None]:
    """Let `import openvino` go without its converter of models, which nothing here needs.

    That takes half of the import, and reports it to OpenVINO's makers. In the process of another
    program, which may want it, the import is that program's affair.
    """
    name = "openvino.tools.ovc"
    known = name in sys.modules
    sys.modules.setdefault(name, None)  # type: ignore[arg-type]  # "cannot be imported"
    try:
        yield
    finally:
        if not known:
            del sys.modules[name]


def _list_models(name: str) -> int:
    """Print the models that NAME stands for; a damaged one does not hide the others."""
    damaged = False
    for title, path in listed_models(name).items():
        try:
            summary = ModelSummary.of(path)
        except ModelError as error:
            damaged = True
            click.echo(f"{title}: unusable: {error}")
            continue
        size = f"{path.stat().st_size / 1e6:.1f} MB"
        works_at = f", colors best at {summary.native_size} pixels" if summary.native_size else ""
        click.echo(f"{title}: {summary.architecture}, {summary.precision}, {size}{works_at}")
        figures = ", ".join(f"{key} {value:.3g}" for key, value in (summary.figures or {}).items())
        click.echo(f"  quality: {figures or 'not measured'}")
        click.echo(f"  license: {summary.license}")
    return SOME_FAILED if damaged else 0


def _show_video(bar: Progress, job: Job) -> Callable[["VideoProgress"], None]:
    """Return what shows a film's progress; the bar appears with the first frame."""
    task: TaskID | None = None

    def show(progress: "VideoProgress") -> None:
        nonlocal task
        if task is None:
            task = bar.add_task(job.source.name, rate="", total=progress.total)
        rate = f"{(progress.frames - progress.resumed) / max(progress.seconds, 1e-9):.1f} fps"
        bar.update(task, completed=progress.frames, rate=rate)

    return show


def _say(terminal: Console, job: Job, remark: str) -> None:
    terminal.print(f"{job.source}: {remark}", soft_wrap=True, markup=False)


def _run(
    jobs: Sequence[Job], colorizer: "Colorizer", options: "VideoOptions", terminal: Console
) -> int:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:.0f}/{task.total} {task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    failed = 0
    with Progress(
        *columns, console=terminal, transient=True, disable=not terminal.is_terminal
    ) as bar:
        overall = bar.add_task("files", total=len(jobs), rate="", visible=len(jobs) > 1)
        say = partial(_say, terminal)
        for job, outcome in run_all(jobs, colorizer, options, partial(_show_video, bar), say):
            try:
                for remark in outcome.result():
                    say(job, remark)
                if job.target != PIPE:
                    click.echo(job.target)
            except ColorizeError as error:
                if len(jobs) == 1:
                    raise
                failed += 1
                terminal.print(f"colorize-run: {error}", soft_wrap=True, markup=False)
            except Exception as error:  # a night's work must not end with one strange file
                if len(jobs) == 1:
                    raise
                failed += 1
                line = f"colorize-run: {job.source}: {type(error).__name__}: {error}"
                terminal.print(line, soft_wrap=True, markup=False)
            bar.advance(overall)
    if failed == len(jobs):
        return NOTHING_PRODUCED
    if failed:
        terminal.print(f"{failed} of {len(jobs)} files failed")
    return SOME_FAILED if failed else 0


if __name__ == "__main__":
    main()


def print_devices() -> None:
    """Print a table on a terminal, else one line a device."""
    from .engines.select import engine_devices

    rows = [
        (backend, found.device, found.name, found.problem)
        for backend, devices in engine_devices().items()
        for found in devices
    ]
    if sys.stdout.isatty():
        _print_table(rows)
        return
    for backend, device, name, problem in rows:
        place = " ".join(filter(None, [backend, device]))
        hardware = f" ({name})" if name else ""
        click.echo(f"{place}{hardware}: {f'no: {problem}' if problem else 'yes'}")


def _print_table(rows: list[tuple[str, str, str, str]]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for heading in ("--backend", "--device", "hardware", "usable"):
        table.add_column(heading, overflow="fold")
    for backend, device, name, problem in rows:
        table.add_row(backend, device, name, f"no: {problem}" if problem else "yes")
    Console(highlight=False, markup=False).print(table)
