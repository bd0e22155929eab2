"""The command colorize-bench: arguments only."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from ..runtime.command import Command, completes, console, listed, positive, require_extra
from ..runtime.models.catalog import SAMPLES, bundled_models
from .options import DEFAULTS_SHOWN, FILE, PATH, POSITIVE, lpips_weights

_NEEDED = ["onnxruntime", "onnx", "torch", "torchmetrics", "skimage", "jinja2"]
_MOST_HINTS = 100_000
_NETS = ("alex", "vgg", "squeeze")


def _listed_of(choices: tuple[str, ...]) -> Callable[..., tuple[str, ...]]:
    """Return an option's callback that reads one or several of CHOICES."""

    def read(text: str) -> str:
        if text not in choices:
            raise ValueError(text)
        return text

    return listed(read, f"a list of {', '.join(choices)}")


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) > _MOST_HINTS:
        raise ValueError(text)
    return int(text)


@click.command(cls=Command, name="colorize-bench", context_settings=DEFAULTS_SHOWN)
@click.option(
    "--model",
    "models",
    multiple=True,
    shell_complete=completes(bundled_models, or_file=True),
    help="A bundled model or an ONNX file; may be repeated. Default: all bundled models.",
)
@click.option("--against", multiple=True, help="Another model to compare with; may be repeated.")
@click.option(
    "--colored",
    multiple=True,
    type=PATH,
    help="Folder of pictures that another colorizer made, named as in --data; may be repeated.",
)
@click.option(
    "--data",
    type=PATH,
    default=SAMPLES / "test",
    show_default=False,  # a path of this machine
    help="Folder (any nesting) or tar of color photographs. Default: the bundled ones.",
)
@click.option(
    "--protocol",
    type=click.Choice(["native", "imagenet256"]),
    default="native",
    help="native: photographs as they are. imagenet256: short side 256, central 256x256.",
)
@click.option(
    "--backend",
    "backends",
    multiple=True,
    shell_complete=completes(lambda: ("openvino", "onnxruntime", "tensorrt")),
    help="openvino, onnxruntime or tensorrt; may be repeated. Default: the first two.",
)
@click.option(
    "--device",
    default="auto",
    help="cpu, cuda or cuda:1 (NVIDIA), gpu or npu (Intel). auto: the fastest of each backend.",
)
@click.option(
    "--precision",
    "precisions",
    callback=_listed_of(("auto", "fp32", "bf16")),
    default="auto",
    help="Precisions of the arithmetic: auto, fp32, bf16, or several with commas between.",
)
@click.option(
    "--size",
    "sizes",
    metavar="N,N,...",
    callback=listed(positive, "a list of sizes; write 128 or 128,256"),
    help="Working sizes: the short side in pixels of what the network sees. Default: each "
    "model's own.",
)
@click.option(
    "--hints",
    metavar="N,N,...",
    callback=listed(_count, "a list of numbers; write 0,1,10,100"),
    help="Quality: so many simulated hints, 7x7 pixels at 256, in the colors of the truth.",
)
@click.option(
    "--batch",
    "batches",
    metavar="N,N,...",
    callback=listed(positive, "a list of batch sizes; write 8 or 1,8,32"),
    default="1,8",
    help="Speed: batch sizes.",
)
@click.option(
    "--runs", type=POSITIVE, default=30, help="Speed: timed runs of each engine and batch size."
)
@click.option(
    "--warmup",
    type=click.IntRange(min=0),
    default=5,
    help="Speed: untimed runs at first, and more until the times are steady. 0: none.",
)
@click.option(
    "--roofline",
    is_flag=True,
    help="Speed: compare the network with the fastest matrix product on this machine.",
)
@click.option(
    "--video",
    "videos",
    multiple=True,
    type=FILE,
    help="Video to color whole: its fps, stages and bound, and how steady its colors are.",
)
@click.option(
    "--video-frames",
    type=click.IntRange(min=6),
    default=100,
    help="Frames of a video whose colors are measured.",
)
@click.option(
    "--references",
    metavar="N,N,...",
    callback=listed(_count, "a list of numbers; write 0,1,2"),
    help="With --video: that many of its own frames give it their colors, as with colorize-run "
    "--references: the first; the first and the last; evenly spaced for more.",
)
@click.option(
    "--lpips",
    metavar="NET,...",
    callback=_listed_of(_NETS),
    default="squeeze",
    help=f"Networks of LPIPS: {', '.join(_NETS)}.",
)
@lpips_weights
@click.option("--fid-weights", type=FILE, help="The standard Inception weights for FID.")
@click.option(
    "--download", is_flag=True, help="Download missing weights for LPIPS and FD-SqueezeNet1.1."
)
@click.option(
    "--limit-images",
    type=POSITIVE,
    help="Quality: measure only this many photographs, drawn by --seed.",
)
@click.option("--seed", type=int, default=0, help="Seed of that draw.")
@click.option(
    "--workers", type=POSITIVE, default=1, help="Quality: processes that share the photographs."
)
@click.option(
    "--wall",
    type=FILE,
    help="Also write this picture of the first photographs: gray, each model's colors, the truth.",
)
@click.option(
    "--compare",
    "documents",
    nargs=2,
    metavar="OLD NEW",
    type=FILE,
    help="Only compare two results.json files; exit with 1 on a regression.",
)
@click.option(
    "--tolerance",
    type=click.FloatRange(min=0),
    default=0.05,
    help="Compare: relative change in speed that counts as noise.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("bench-report"),
    help="Folder for results.json, index.html and results.md; replaced if they exist.",
)
@click.version_option(package_name="colorize-toolkit")
def main(documents: tuple[Path, Path] | None, tolerance: float, **options: Any) -> int:
    """Measure the quality and the speed of models.

    Quality compares colored photographs with the originals. Speed times the network alone, on
    all engines in turns. Without arguments, the default model is timed on every engine and the
    others on the fastest.

    Exit codes: 0 everything was measured, 1 nothing was, or --compare found a regression, 2 bad
    arguments or unusable input, 3 some of it failed.

    Example: colorize-bench --model default --data ~/photos --batch 1,8
    """
    require_extra("bench", _NEEDED)
    if documents:
        from .run import compare_files

        return compare_files(*documents, tolerance)
    from .run import run
    from .settings import Settings

    options["references"] = tuple(count for count in options["references"] if count is not None)
    if options["references"] and not options["videos"]:
        raise click.UsageError("--references goes with --video")
    return run(Settings(**options), console())
