"""The command colorize-bench: arguments only."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ..runtime.catalog import SAMPLES
from ..runtime.command import Command, console, require_extra
from ..runtime.files import whole_file

if TYPE_CHECKING:
    from ..runtime.color import U8
    from .report import Results
    from .subjects import Settings, Subject

_ALL_FAILED = 1
_SOME_FAILED = 3
_WALL_HEIGHT = 180  # of a photograph on the wall, in pixels


def _batches(_: click.Context, param: click.Parameter, value: str) -> tuple[int, ...]:
    """Return the batch sizes in 8 or 1,8,32, each once, in the order given."""
    parts = [part.strip() for part in value.split(",")]
    if not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise click.BadParameter(
            f"{value!r} is not a list of batch sizes; write 8 or 1,8,32", param=param
        )
    return tuple(dict.fromkeys(int(part) for part in parts))


@click.command(cls=Command, name="colorize-bench")
@click.option(
    "--model",
    "models",
    multiple=True,
    help="A bundled model or an ONNX file; may be repeated. Default: all bundled models.",
)
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    default=SAMPLES / "test",
    help="Folder of colour photographs, any nesting. Default: the bundled test photographs.",
)
@click.option(
    "--backend",
    "backends",
    multiple=True,
    help="openvino or onnxruntime; may be repeated. Default: all that are installed.",
)
@click.option("--precision", type=click.Choice(["auto", "fp32"]), default="auto", show_default=True)
@click.option(
    "--size",
    type=click.IntRange(min=1),
    help="Short side at which the network works. Default: each model's own.",
)
@click.option(
    "--batch",
    "batches",
    metavar="N,N,...",
    callback=_batches,
    default="1,8",
    show_default=True,
    help="Speed: pictures in one inference.",
)
@click.option(
    "--runs",
    type=click.IntRange(min=1),
    default=30,
    show_default=True,
    help="Speed: timed runs of each engine and batch.",
)
@click.option(
    "--warmup",
    type=click.IntRange(min=0),
    default=5,
    show_default=True,
    help="Speed: untimed runs before them.",
)
@click.option(
    "--limit-images",
    type=click.IntRange(min=1),
    help="Quality: take only the first so many photographs.",
)
@click.option(
    "--wall",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Draw a picture of all photographs here: grey, each model's, the truth.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("results.json"),
    show_default=True,
    help="Where all figures go; replaced if it exists.",
)
@click.version_option(package_name="colorize-toolkit")
def main(
    models: tuple[str, ...],
    data: Path,
    backends: tuple[str, ...],
    wall: Path | None,
    output: Path,
    **options: Any,
) -> int:
    """Measure the quality and the speed of models.

    Quality compares coloured photographs with the truth; speed times the network on each engine
    in turns. Exit codes: 0 all measured, 1 no model could be measured, 2 bad arguments or unusable
    input, 3 some failed.

    Example: colorize-bench --model default --data ~/photos --batch 1,8
    """
    require_extra("bench", ["onnxruntime"])
    from ..runtime.sheet import save_sheet
    from .quality import list_photos  # engines load after the arguments proved good
    from .report import print_report
    from .subjects import Settings, choose_backends, find_subjects

    settings = Settings(backends=choose_backends(backends), **options)
    subjects = find_subjects(models)
    list_photos(data)
    terminal = console()
    with whole_file(output) as part:  # a folder that cannot be written to is refused at once
        rows: list[list[U8]] = []
        results = _measure(subjects, data, settings, rows if wall else None, terminal)
        part.write_text(results.to_json(), encoding="utf-8")
    print_report(results)
    if wall:
        save_sheet(wall, rows, abreast=2)
        terminal.print(f"pictures: {wall}", soft_wrap=True, markup=False)
    for warning in results.warnings():
        terminal.print(f"warning: {warning}", soft_wrap=True, markup=False)
    failures = results.failures()
    for failure in failures:
        line = f"colorize-bench: {failure.backend}: {failure.error}"
        terminal.print(line, soft_wrap=True, markup=False)
    terminal.print(f"figures: {output}", soft_wrap=True, markup=False)
    if not failures:
        return 0
    return _SOME_FAILED if results.measured() else _ALL_FAILED


def _measure(
    subjects: list["Subject"],
    data: Path,
    settings: "Settings",
    wall: list[list["U8"]] | None,
    terminal: Console,
) -> "Results":
    from ..runtime.sheet import scaled
    from .latency import measure_speed
    from .quality import list_photos, measure_quality
    from .report import Results

    def draw(pictures: list["U8"]) -> None:
        if wall is not None:
            wall.append([scaled(picture, _WALL_HEIGHT) for picture in pictures])

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(
        *columns, console=terminal, transient=True, disable=not terminal.is_terminal
    ) as bar:
        photos = bar.add_task("photographs", total=len(list_photos(data)[: settings.limit_images]))
        timed = bar.add_task("models timed", total=len(subjects))
        quality = measure_quality(
            subjects,
            data,
            settings,
            on_photo=lambda: bar.advance(photos),
            on_pictures=draw,
            on_remark=lambda remark: terminal.print(remark, soft_wrap=True, markup=False),
        )
        speed = []
        for subject in subjects:
            speed += measure_speed(subject, settings)
            bar.advance(timed)
    return Results(settings, subjects, quality, speed)
