"""The command colorize-export: arguments only."""

import re
import sys
from collections.abc import Collection
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click
from rich.console import Console
from rich.progress import Progress

from ..runtime.command import Command, console, refuse_given, require_extra
from ..runtime.errors import EngineError, ModelError
from ..runtime.models.catalog import MODELS
from .foreign.options import ImportOptions, import_options

if TYPE_CHECKING:
    from .graphs.fp16 import Precision
    from .tensorrt.builder import BuildOptions, Toolkit
    from .tensorrt.profiles import Range

_MODULES = (
    "torch",
    "torchvision",
    "safetensors",
    "onnx",
    "onnxscript",
    "onnxslim",
    "onnxruntime",
    "skimage",
    "filelock",
)


def _range(_: click.Context, param: click.Parameter, value: str | None) -> "Range | None":
    """Return the smallest, best and largest of 1,8,32; of a single number all three."""
    if value is None:
        return None
    parts = value.split(",")
    if len(parts) not in (1, 3) or not all(part.strip().isdecimal() for part in parts):
        raise click.BadParameter(f"{value!r} is neither a number nor three as 1,8,32", param=param)
    low, best, high = (int(part) for part in (parts if len(parts) == 3 else parts * 3))
    if not 0 < low <= best <= high:
        raise click.BadParameter(f"{value!r} does not ascend from above 0", param=param)
    return low, best, high


def _capabilities(_: click.Context, __: click.Parameter, value: str | None) -> tuple[str, ...]:
    """Return the numbers in 86,89,120 or 8.6,8.9,12.0."""
    return tuple(part.strip().replace(".", "") for part in value.split(",")) if value else ()


@click.command(cls=Command, name="colorize-export")
@click.option(
    "--engine",
    "precision",
    type=click.Choice(["fp32", "fp16", "int8"]),
    default="fp32",
    show_default=True,
    help="Precision. fp16 also builds a TensorRT engine. int8 is written only if it is faster and "
    "close enough to fp32.",
)
@click.option(
    "--checkpoint",
    type=click.Path(path_type=Path),
    help="Checkpoint to export. Default: the newest below runs/, else that of the bundled default.",
)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="The ONNX file to write.")
@click.option("--compact", is_flag=True, help="Store the weights of an fp32 file in FP16.")
@click.option(
    "--device",
    type=click.Choice(["auto", "cuda"]),
    default="auto",
    show_default=True,
    help="TensorRT: cuda builds for this machine's GPU, or fails. auto builds ahead of time if "
    "there is no GPU.",
)
@click.option(
    "--compute-capability",
    "compute_capabilities",
    callback=_capabilities,
    metavar="86,89,...",
    help="TensorRT: build ahead of time for these GPUs. Default: all RTX GPUs since Ampere.",
)
@click.option(
    "--batch",
    callback=_range,
    metavar="MIN,BEST,MAX",
    default="1,8,32",
    show_default=True,
    help="TensorRT: smallest, best and largest batch size.",
)
@click.option(
    "--size",
    callback=_range,
    metavar="MIN,BEST,MAX",
    help="TensorRT: smallest, best and largest short side in pixels. Default: 64, the network's "
    "own, 512.",
)
@click.option(
    "--workspace",
    "workspace_mib",
    type=click.IntRange(min=1),
    help="TensorRT: most GPU memory for building, in MiB.",
)
@click.option(
    "--optimization-level",
    type=click.IntRange(0, 5),
    help="TensorRT: how thoroughly the builder searches, 0 to 5.",
)
@click.option(
    "--verify",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Prove an exported file again on this machine, and write nothing.",
)
@click.option(
    "--list", "list_only", is_flag=True, help="List exported files, and which can run here."
)
@click.option(
    "--graph",
    type=click.Choice(["network", "image", "image-hints"]),
    default="network",
    show_default=True,
    help="image: 8-bit gray in, 8-bit RGB out, with all color conversion inside the ONNX file. "
    "image-hints: the same, with 8-bit RGBA hints as a second input.",
)
@click.option("--overwrite", is_flag=True, help="Replace files that exist.")
@import_options
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    help="Photographs to calibrate int8 on. Default: the sample photographs for training.",
)
@click.version_option(package_name="colorize-toolkit")
def main(
    precision: str,
    checkpoint: Path | None,
    output: Path | None,
    compact: bool,
    device: Literal["auto", "cuda"],
    verify: Path | None,
    list_only: bool,
    graph: str,
    overwrite: bool,
    data: Path | None,
    foreign: ImportOptions | None,
    **engine: Any,
) -> None:
    """Turn a checkpoint into a proven ONNX file, and with --engine fp16 into a TensorRT engine.

    The file is published only if its colors match the network's.

    Exit codes: 0 done, 1 a proof failed or a file cannot be written, 2 bad arguments or input.

    Example: colorize-export --engine fp16 --checkpoint mine/checkpoint.safetensors
    """
    require_extra("export", _MODULES)
    if list_only:
        _list()
        return
    from .jobs.output import Output

    terminal = console()
    say = partial(terminal.print, soft_wrap=True, markup=False)
    if verify:
        from .jobs.verify import recheck

        recheck(Output(verify, say), checkpoint)
        click.echo(f"{verify}: good")
        return
    from ..train.checkpoints.checkpoint import newest_checkpoint
    from .foreign.job import import_colorizer
    from .jobs.checkpoint import export_checkpoint
    from .jobs.image import as_image_graph
    from .jobs.int8 import as_int8
    from .tensorrt.builder import BuildOptions

    builds = precision == "fp16" and graph == "network"
    options = BuildOptions(**engine)
    _refuse_idle(precision, () if builds else ("device", *engine), imports=foreign is not None)
    # Before the minutes of exporting: what was asked for by name must be there.
    toolkit = _toolkit(device, options) if builds else None
    bundled = MODELS / "default.safetensors"
    if foreign is not None:
        source, folder, stem = foreign.file, Path("exports"), foreign.file.stem
    else:
        source = checkpoint or newest_checkpoint(Path("runs")) or bundled
        if not source.is_file() and source == bundled:
            raise ModelError(
                "no checkpoint below runs/ and none bundled; train one with colorize-train"
            )
        folder, stem = Path("exports") if source == bundled else source.parent, _stem(source)
    mark = "" if graph == "network" else f"-{graph}"
    target = output or folder / f"{stem}-{precision}{mark}.onnx"
    to = Output(target, say)
    to.check(overwrite=overwrite)
    computed: Precision = "fp16" if precision == "fp16" else "fp32"  # int8 is made from float32
    if foreign is not None:
        network = import_colorizer(foreign, computed, to)
    else:
        network = export_checkpoint(source, computed, to, compact=compact, sizes=options.size or ())
    if precision == "int8":
        network = as_int8(network, to, data)
    if graph != "network":
        network = as_image_graph(network, to, hints=graph == "image-hints")
    to.publish(network)
    say(f"made from {source}")
    click.echo(target)
    if isinstance(toolkit, EngineError):
        say(f"no TensorRT engine was built: {toolkit}")
    elif toolkit is not None:
        _build(target, toolkit, options, terminal)


def _refuse_idle(precision: str, of_engines: Collection[str], *, imports: bool) -> None:
    """Raise ArgumentError for an option that was given and would count for nothing."""
    refuse_given(of_engines, "is for TensorRT engines, which --engine fp16 builds of the network")
    if imports:
        refuse_given(("checkpoint", "compact"), "is for checkpoints of colorize-train")
    if precision != "fp32":
        refuse_given(("compact",), f"is for fp32; {precision} weights are small already")
    if precision != "int8":
        refuse_given(("data",), "is for --engine int8, which is calibrated")


def _list() -> None:
    from .listing import as_table, exported_files

    rows = exported_files()
    if rows:
        width = None if sys.stdout.isatty() else 240  # no folds in a file
        Console(highlight=False, markup=False, width=width).print(as_table(rows))
    else:
        click.echo("nothing exported below exports/ or runs/; make something with colorize-export")


def _stem(checkpoint: Path) -> str:
    """Name exports of a run after its folder, the one above a time; others after the file."""
    if checkpoint.name != "checkpoint.safetensors":
        return checkpoint.stem
    run = checkpoint.resolve().parent
    timed = re.fullmatch(r"\d{8}-\d{6}(-\d+)?", run.name)
    return (run.parent if timed else run).name or "model"


def _toolkit(device: Literal["auto", "cuda"], options: "BuildOptions") -> "Toolkit | EngineError":
    """Return what builds engines; where none is and none was demanded, the reason."""
    from .tensorrt.builder import find_toolkit

    try:
        return find_toolkit(device, options.compute_capabilities)
    except EngineError as error:
        if device == "cuda" or options.compute_capabilities:
            raise
        return error


def _build(model: Path, toolkit: "Toolkit", options: "BuildOptions", terminal: Console) -> None:
    from .tensorrt.builder import build_engine

    with Progress(console=terminal, transient=True, disable=not terminal.is_terminal) as bar:
        task = bar.add_task("building the engine", total=None)

        def show(phase: str, step: int, steps: int) -> None:
            bar.update(task, description=phase, completed=step, total=steps)

        say = partial(terminal.print, soft_wrap=True, markup=False)
        engine = build_engine(model, toolkit, options, show, say)
    click.echo(engine)


if __name__ == "__main__":
    main()
