"""The command colorize-run: arguments only."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .cluster.options import check_cluster, cluster_options, runner_of
from .command import Command, completes, console, refuse_given, without_converter
from .errors import ArgumentError
from .files import known_sha256, source_identity
from .finished import FinishedJobs
from .guidance import with_hints, with_references
from .inputs import PIPE
from .jobs import Job, plan
from .listing import print_devices, print_models
from .models.catalog import DEFAULT_MODEL, bundled_models, find_model
from .notices import Notice
from .outcomes import JsonLines, Names
from .reference_options import extract, reference_options, wanted_extractions
from .terminal import NOTHING_PRODUCED, SOME_FAILED, run_jobs, say_on
from .video.options import VideoOptions

if TYPE_CHECKING:
    from .colorizer import Colorizer
    from .engines.base import Precision

_BACKENDS = ("auto", "tensorrt", "onnxruntime", "openvino")
_DEVICES = ("auto", "cpu", "cuda", "gpu", "npu", "tensorrt")


def _read_time(_: click.Context, param: click.Parameter, value: str | None) -> float | None:
    """Read seconds, or minutes and seconds, or hours too, with colons between."""
    if value is None:
        return None
    seconds = 0.0
    try:
        for part in value.split(":"):
            seconds = seconds * 60 + float(part)
    except ValueError:
        seconds = -1
    if not 0 <= seconds < math.inf or (param.name == "duration" and seconds == 0):
        raise click.BadParameter(f"{value!r} is no time; write 90 or 1:30", param=param)
    return seconds


def _encoders() -> Iterable[str]:
    from .video.codecs import ENCODERS

    return ENCODERS


@click.command(cls=Command, name="colorize-run")
@click.argument("inputs", nargs=-1, type=click.Path(path_type=Path), metavar="INPUT...")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="File (for one input), or folder. Default: NAME_colorized.EXT beside each input.",
)
@click.option("--overwrite", is_flag=True, help="Replace results that exist.")
@click.option("--recursive", is_flag=True, help="Also color the files in sub-folders.")
@click.option(
    "--model",
    default=DEFAULT_MODEL,
    show_default=True,
    shell_complete=completes(bundled_models, or_file=True),
    help="A bundled model, an ONNX file, or a folder with one in it.",
)
@click.option("--list-models", is_flag=True, help="List the bundled models, or those of --model.")
@click.option(
    "--backend",
    default="auto",
    show_default=True,
    shell_complete=completes(lambda: _BACKENDS),
    help="auto (the fastest that works here), tensorrt, onnxruntime or openvino.",
)
@click.option(
    "--device",
    default="auto",
    show_default=True,
    shell_complete=completes(lambda: _DEVICES),
    help="auto, cpu, cuda or cuda:1 (NVIDIA), gpu or npu (Intel), tensorrt (ONNX Runtime's own).",
)
@click.option(
    "--cuda-graph", is_flag=True, help="TensorRT: launch the work for each shape as one CUDA graph."
)
@click.option(
    "--list-devices", is_flag=True, help="List backends and devices, and why some cannot be used."
)
@click.option(
    "--precision",
    type=click.Choice(["auto", "fp32", "bf16", "fp16"]),
    default="auto",
    show_default=True,
    help="Precision of the arithmetic. auto: the fastest on the device that the model's proofs "
    "allow.",
)
@click.option(
    "--size",
    type=int,
    help="Working size: short side in pixels of what the network sees. Default: the model's own.",
)
@click.option(
    "--saturation",
    type=float,
    default=1.0,
    show_default=True,
    help="Strength of the colors, 0 to 4.",
)
@click.option(
    "--refine/--no-refine",
    default=False,
    show_default=True,
    help="Photographs: colors follow the edges of lightness. The better a model's colors, the "
    "more this helps.",
)
@click.option(
    "--max-pixels",
    type=click.IntRange(min=1),
    help="Refuse photographs with more pixels. Default: 250 million.",
)
@click.option(
    "--hints",
    type=click.Path(path_type=Path),
    metavar="FILE|DIR",
    help="Photographs: colors painted on a transparent layer of the photograph's size (PNG), or "
    "a folder with NAME_hints.png for each NAME.jpg.",
)
@click.option(
    "--hint",
    "points",
    multiple=True,
    metavar="X,Y,#RRGGBB[,R]",
    help="Photograph: the color around pixel X,Y, as 340,120,#3a5f2b; R is the radius in pixels. "
    "Repeatable.",
)
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="For scripts: write one JSON object a line to stdout, or the list of --list-models or "
    "--list-devices as JSON.",
)
@click.option("--show", is_flag=True, help="Open the result in the system's viewer.")
@click.option(
    "--codec",
    shell_complete=completes(_encoders),
    help="Video: libx264 (the default for most containers), libx265, libvpx-vp9, libsvtav1, ffv1, "
    "or a hardware encoder such as h264_nvenc, hevc_qsv, h264_vaapi or hevc_videotoolbox.",
)
@click.option("--crf", type=int, help="Video: quality of the encoder; smaller is better.")
@click.option("--preset", help="Video: speed preset of the encoder.")
@click.option(
    "--as-film",
    is_flag=True,
    help="A folder of numbered pictures is one film; a pattern such as scans/f_%05d.png is anyway.",
)
@click.option(
    "--fps",
    type=click.FloatRange(min=0, min_open=True),
    help="Numbered frames: how many are a second. Default: 24.",
)
@click.option(
    "--audio",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Video: a file whose sound takes the place of its own; numbered frames have none.",
)
@click.option(
    "--stream",
    type=click.IntRange(min=0),
    metavar="N",
    help="Video: color the file's stream N, as ffprobe counts. Default: the largest picture.",
)
@click.option(
    "--stabilize/--no-stabilize",
    default=True,
    show_default=True,
    help="Video: keep the colors steady from frame to frame.",
)
@reference_options
@click.option(
    "--start",
    callback=_read_time,
    metavar="TIME",
    help="Video, for trials: color the stretch that begins there, as 90 or 1:30.",
)
@click.option(
    "--duration", callback=_read_time, metavar="TIME", help="Video, for trials: how much to color."
)
@cluster_options
@click.option(
    "--dry-run",
    is_flag=True,
    help="Color nothing: list what would be done, and what time and room it would take.",
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
    hints: Path | None,
    points: tuple[str, ...],
    as_json: bool,
    show: bool,
    codec: str | None,
    crf: int | None,
    preset: str | None,
    as_film: bool,
    fps: float | None,
    audio: Path | None,
    stream: int | None,
    stabilize: bool,
    extract_references: Path | None,
    every: float | None,
    references: Path | None,
    discard_work: bool,
    start: float | None,
    duration: float | None,
    cluster: str | None,
    workers: int | None,
    dry_run: bool,
) -> int:
    """Add color to photographs and videos.

    INPUT is a file, a folder, a pattern such as 'scans/*.tif', or - for a
    photograph or raw video (y4m) from stdin; -o - writes it to stdout.

    If a video was interrupted, the same command resumes it.

    Exit codes: 0 everything was colored, 1 nothing was, 2 bad arguments or unusable input, 3 some
    files failed, 130 interrupted.

    Numbered frames are a film: 'scans/f_%05d.png' as INPUT, and as -o.

    Example: colorize-run film.mp4 photos/ -o colored/
    """
    if list_models:
        return 0 if print_models(model, as_json=as_json) else SOME_FAILED
    if list_devices:
        if cluster is None:
            print_devices(as_json=as_json)
        else:
            from .cluster.devices import print_node_devices

            print_node_devices(cluster, as_json=as_json)
        return 0
    if not inputs:
        raise click.UsageError("Missing argument 'INPUT...'.")
    if as_json and output == PIPE:
        raise ArgumentError("--json writes to stdout, and so does -o -; name a file with -o")
    check_cluster(cluster, (*inputs, output))
    terminal = console()
    outcomes = JsonLines() if as_json else Names()

    def say(line: Notice | str) -> None:
        say_on(terminal, line)
        outcomes.notice(line)

    jobs = plan(
        inputs,
        output,
        overwrite=overwrite,
        recursive=recursive,
        max_pixels=max_pixels,
        as_film=as_film,
        leave_out=[folder for folder in (hints, references, extract_references) if folder],
        on_note=say,
    )
    jobs = with_hints(jobs, hints, points, say)
    extractions = wanted_extractions(jobs, extract_references, references)
    if dry_run:
        refuse_given(("show",), "does not go with --dry-run")
        if any(PIPE in (job.source, job.target) for job in jobs):
            raise ArgumentError("--dry-run takes files; a pipe can be read only once")
    options = VideoOptions(
        codec=codec,
        crf=crf,
        preset=preset,
        stream=stream,
        fps=fps,
        audio=audio,
        stabilize=stabilize,
        start=start or 0.0,
        duration=duration,
    )
    if references is not None:
        jobs = with_references(
            jobs, references, discard_work=discard_work, options=options, on_note=say
        )
    settings = {
        "model": known_sha256(find_model(model)),
        "precision": precision,
        "size": size,
        "saturation": saturation,
        "refine": refine,
        **asdict(options),
        "sound": source_identity(audio) if audio is not None and audio.is_file() else None,
    }
    finished = FinishedJobs(settings)
    skipped = 0
    if not (overwrite or extractions) and (
        len(jobs) > 1 or any(given.is_dir() for given in inputs)
    ):
        left = [job for job in jobs if job not in finished]
        if skipped := len(jobs) - len(left):
            say(f"{skipped} of {len(jobs)} finished by an earlier run; --overwrite redoes them")
        if not left:
            outcomes.end(0, colored=0, failed=0, skipped=skipped)
            return 0
        jobs = left
    if show and (len(jobs) > 1 or jobs[0].target == PIPE):
        raise ArgumentError("--show takes one input and a file as output")
    if len(jobs) == 1 and not (dry_run or extractions):
        jobs[0].check(options)
    from .colorizer import Colorizer  # engines load after the arguments proved good

    with (
        without_converter(),
        Colorizer(
            model,
            backend=backend,
            precision=precision,
            device=device,
            size=size,
            saturation=saturation,
            refine=refine,
            cuda_graph=cuda_graph,
            threads=None if cluster is None else 1,  # as each of the workers
            expects_hints=any(job.overlay or job.points for job in jobs),
            on_notice=say,
        ) as colorizer,
    ):
        say_on(terminal, f"{model}: {colorizer.engine}; working size {colorizer.size}")
        if extractions:
            return extract(extractions, every, stream, colorizer, terminal)
        outcomes.start(model, colorizer, len(jobs))
        if dry_run:
            return _dry_run(jobs, colorizer, options, outcomes, skipped)
        with runner_of(cluster, workers, colorizer, say) as runner:
            code = run_jobs(jobs, colorizer, options, terminal, finished, outcomes, skipped, runner)
    if show and click.launch(str(jobs[0].target)) != 0:
        terminal.print("--show: this system has no viewer that could be opened")
    return code


def _dry_run(
    jobs: Sequence[Job],
    colorizer: "Colorizer",
    options: VideoOptions,
    outcomes: Names,
    skipped: int,
) -> int:
    from .dry_run import Planned, planned

    plans = list[Planned]()
    for each in planned(jobs, colorizer, options):
        outcomes.planned(each)
        plans.append(each)
    failing = sum(each.error is not None for each in plans)
    code = 0 if not failing else NOTHING_PRODUCED if failing == len(jobs) else SOME_FAILED
    outcomes.summary(plans)
    outcomes.end(code, colored=0, failed=failing, skipped=skipped)
    return code


if __name__ == "__main__":
    main()
