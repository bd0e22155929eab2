"""The command colorize-export: arguments only."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.progress import Progress

from ..runtime.catalog import MODELS
from ..runtime.command import Command, console, require_extra
from ..runtime.contract import ModelInfo
from ..runtime.errors import ArgumentError, EngineError
from .foreign.options import ImportOptions, import_options

if TYPE_CHECKING:
    from .tensorrt import Profile

_MODULES = (
    "torch",
    "torchvision",
    "safetensors",
    "onnx",
    "onnxscript",
    "onnxslim",
    "onnxruntime",
    "skimage",
)


def _triple(_: click.Context, param: click.Parameter, value: str) -> tuple[int, int, int]:
    """Return the smallest, best and largest of 1,8,32."""
    parts = value.split(",")
    if len(parts) != 3 or not all(part.strip().isdecimal() for part in parts):
        raise click.BadParameter(f"{value!r} is not three numbers such as 1,8,32", param=param)
    low, best, high = (int(part) for part in parts)
    if not 0 < low <= best <= high:
        raise click.BadParameter(f"{value!r} does not ascend from above 0", param=param)
    return low, best, high


@click.command(cls=Command, name="colorize-export")
@click.option(
    "--engine",
    "precision",
    type=click.Choice(["fp32", "fp16", "int8"]),
    default="fp32",
    show_default=True,
    help="Precision; fp16 builds a TensorRT engine too, int8 must be faster and near enough.",
)
@click.option(
    "--checkpoint",
    type=click.Path(path_type=Path),
    help="Default: the newest below runs/, else the bundled default's.",
)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="The ONNX file to write.")
@click.option("--compact", is_flag=True, help="Store float32 weights in half the bytes.")
@click.option(
    "--batch",
    callback=_triple,
    metavar="MIN,BEST,MAX",
    default="1,8,32",
    show_default=True,
    help="TensorRT profile.",
)
@click.option(
    "--size",
    callback=_triple,
    metavar="MIN,BEST,MAX",
    default="64,256,512",
    show_default=True,
    help="Same, pixels.",
)
@click.option(
    "--graph",
    type=click.Choice(["network", "image"]),
    default="network",
    show_default=True,
    help="image: 8-bit grey in, 8-bit RGB out, all colour science inside the ONNX file.",
)
@click.option("--overwrite", is_flag=True, help="Replace files that exist.")
@import_options
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    help="Photographs that int8 is calibrated on. Default: the samples for training.",
)
@click.version_option(package_name="colorize-toolkit")
def main(
    precision: str,
    checkpoint: Path | None,
    output: Path | None,
    compact: bool,
    batch: tuple[int, int, int],
    size: tuple[int, int, int],
    graph: str,
    overwrite: bool,
    data: Path | None,
    foreign: ImportOptions | None,
) -> None:
    """Turn a checkpoint into an ONNX file, proven equal to the network, and a TensorRT engine.

    Example: colorize-export --engine fp16 --checkpoint mine/checkpoint.safetensors
    """
    require_extra("export", _MODULES)
    from ..train.checkpoint import newest_checkpoint
    from .foreign.job import ImportJob
    from .image_job import ImageJob
    from .int8_job import Int8Job
    from .job import ExportJob, newest_or_bundled
    from .tensorrt import Profile

    if compact and precision != "fp32":
        raise ArgumentError(f"--compact is for fp32; {precision} weights are small already")
    bundled = MODELS / "default.safetensors"
    if foreign is not None:
        source, folder, stem = foreign.file, Path("exports"), foreign.file.stem
    else:
        source = checkpoint or newest_or_bundled(bundled, newest_checkpoint(Path("runs")))
        folder, stem = Path("exports") if source == bundled else source.parent, _stem(source)
    mark = "-image" if graph == "image" else ""
    target = output or folder / f"{stem}-{precision}{mark}.onnx"
    terminal = console()
    computed = "fp32" if precision == "int8" else precision  # int8 is made from a float32 file
    job: Any
    if foreign is not None:
        job = ImportJob.of(foreign, computed, target, overwrite)
    else:
        job = ExportJob(source, computed, target, compact, size, overwrite)
    if precision == "int8":
        job = Int8Job(job, target, overwrite, data)
    if graph == "image":
        job = ImageJob(job, target, overwrite)
    job.run(lambda line: terminal.print(line, soft_wrap=True, markup=False))
    terminal.print(f"made from {source}", soft_wrap=True, markup=False)
    click.echo(target)
    if precision == "fp16" and graph == "network":
        _build_engine(target, Profile(batch, _sides(target, size)), terminal)


def _stem(checkpoint: Path) -> str:
    """Name exports of a run after its architecture, others after the file."""
    in_run = checkpoint.name == "checkpoint.safetensors"
    return checkpoint.parent.parent.name or "model" if in_run else checkpoint.stem


def _sides(model: Path, asked: tuple[int, int, int]) -> tuple[int, int, int]:
    """Return the sides of the profile: those asked for, or the one that the network takes."""
    import onnx

    properties = {entry.key: entry.value for entry in onnx.load(model).metadata_props}
    fixed = ModelInfo.from_metadata(properties, str(model)).fixed_size
    return (fixed[0], fixed[0], fixed[0]) if fixed else asked


def _build_engine(model: Path, profile: "Profile", terminal: Console) -> None:
    """Build the engine, or say in one line why there is none: the ONNX file is good either way."""
    from .tensorrt import build_engine, find_builder

    try:
        trt, flavour = find_builder()
    except EngineError as error:
        terminal.print(f"no TensorRT engine was built: {error}", soft_wrap=True)
        return
    target = model.with_suffix(".rtx.engine" if flavour == "tensorrt_rtx" else ".engine")
    with Progress(console=terminal, transient=True, disable=not terminal.is_terminal) as bar:
        task = bar.add_task("building the engine", total=None)
        build_engine(
            trt,
            flavour,
            model,
            target,
            profile,
            lambda phase, step, steps: bar.update(
                task, description=phase, completed=step, total=steps
            ),
        )
    terminal.print(f"built with {flavour} {trt.__version__}")
    click.echo(target)
