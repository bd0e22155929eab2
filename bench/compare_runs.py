"""Training runs compared by their colors on the photographs that all of them held out.

Every run colors the whole held-out photographs, at several working sizes: the figures in a run's
own log depend on its crops and its loss, and cannot be compared with another's.

Example: python -m colorize.bench.compare_runs runs/wide runs/narrow --size 128,160
"""

import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from rich.markup import escape
from rich.table import Table

from ..runtime.color import U8, gray_to_lightness, rgb_to_gray
from ..runtime.command import Command, console, listed, positive
from ..runtime.errors import ArgumentError
from ..runtime.files import whole_file
from ..runtime.photo.photo import join
from ..runtime.resize import shrink, working_shape
from ..train.architectures.blocks import EncoderDecoder
from ..train.checkpoints.build import rebuild
from ..train.checkpoints.checkpoint import load_checkpoint
from ..train.checkpoints.finish import bake_saturation
from ..train.checkpoints.state import TrainState
from ..train.data.photos import collect
from ..train.data.sources import PhotoFile
from ..train.metrics import colorfulness, psnr
from ..train.run import read_config, read_settings
from .options import DEFAULTS_SHOWN, PATH, POSITIVE, lpips_weights
from .quality.candidates import GRAY, TRUTH, without_colors
from .quality.dataset import read_rgb
from .quality.metrics import RunningMeans, ciede2000
from .quality.perceptual import Lpips, find_lpips

_COLUMNS = {  # name in the figures: title, format
    "run": ("run", ""),
    "photos_seen": ("photos", ""),
    "photos_per_second": ("photos/s", ".1f"),
    "size": ("size", ""),
    "saturation": ("color x", "g"),
    "psnr_db": ("PSNR dB", ".2f"),
    "lpips_squeeze": ("LPIPS", ".4f"),
    "ciede2000": ("ΔE2000", ".2f"),
    "colorfulness": ("CF", ".1f"),
}


@dataclass(frozen=True)
class RunCandidate:
    """One network under one setting, and what its run had seen."""

    run: str
    photos_seen: int
    photos_per_second: float  # of training, validations included
    size: int  # working size, short side
    saturation: float
    network: EncoderDecoder

    @property
    def head(self) -> dict[str, Any]:
        """The row's first columns, which tell it from the others."""
        return {name: value for name, value in vars(self).items() if name != "network"}

    def colorize(self, truth: U8) -> U8:
        """Return TRUTH, 8-bit (H, W, 3), in the network's colors, by the runtime's own steps."""
        gray = rgb_to_gray(truth)
        shape = working_shape(gray.shape[0], gray.shape[1], self.size, self.network.size_multiple)
        lightness = torch.from_numpy(gray_to_lightness(shrink(gray, shape)))
        with torch.inference_mode():
            ab = self.network(lightness[None, None])[0].permute(1, 2, 0).numpy()
        return join(truth, np.ascontiguousarray(ab), self.saturation)


def run_candidates(
    folder: Path, sizes: Sequence[int], saturations: Sequence[float], *, raw: bool
) -> Iterator[RunCandidate]:
    """Yield the run in FOLDER at each size and saturation; RAW: its last weights, not averaged."""
    checkpoint = load_checkpoint(folder / "checkpoint.safetensors")
    network = _last_weights(folder) if raw else checkpoint.network
    seen = checkpoint.origin.photos_seen
    with (folder / "log.csv").open(newline="") as file:
        seconds = max(float(row["seconds"]) for row in csv.DictReader(file))
    name = folder.name + (" raw" if raw else "")
    for size, saturation in product(sizes, saturations):
        yield RunCandidate(
            run=name,
            photos_seen=seen,
            photos_per_second=seen / seconds,
            size=size,
            saturation=saturation,
            network=network,
        )


def _last_weights(folder: Path) -> EncoderDecoder:
    config = read_config(folder)
    state = TrainState(config, rebuild(config, read_settings(folder)).network)
    state.load(folder / "state.safetensors")
    return state.network.eval()


def held_out(folders: Sequence[Path]) -> list[PhotoFile]:
    """Return the photographs that all runs held out for validation.

    ArgumentError if they were trained on different photographs, or if those have changed since.
    """
    splits = {
        (config.data, config.validation_share, config.validation_limit)
        for config in map(read_config, folders)
    }
    if len(splits) > 1:
        raise ArgumentError("the runs were trained on different photographs; compare them apart")
    data, share, limit = splits.pop()
    photos = collect(data)
    for folder in folders:
        if read_settings(folder)["data"]["fingerprint"] != photos.fingerprint:
            raise ArgumentError(f"{folder}: its photographs have changed since it was trained")
    return photos.split(share, limit)[1]


def score(
    photos: Sequence[PhotoFile], rows: Sequence[RunCandidate], lpips: Lpips | None
) -> list[dict[str, float]]:
    """Return the figures of each of ROWS, then those of gray and of the truth."""
    scores = [RunningMeans() for _ in range(len(rows) + 2)]
    for photo in photos:
        truth = read_rgb(photo)
        pictures = [*(row.colorize(truth) for row in rows), without_colors(truth)]
        for means, picture in zip(scores, pictures, strict=False):
            figures = {
                "psnr_db": psnr(picture, truth),
                "ciede2000": ciede2000(picture, truth),
                "colorfulness": colorfulness(picture),
            }
            means.add(figures | ({"lpips_squeeze": lpips(picture, truth)} if lpips else {}))
        scores[-1].add({"colorfulness": colorfulness(truth)})
    return [means.means() for means in scores]


@click.command(
    cls=Command,
    name="python -m colorize.bench.compare_runs",
    no_args_is_help=True,
    context_settings=DEFAULTS_SHOWN,
)
@click.argument("runs", nargs=-1, required=True, type=PATH)
@click.option(
    "--size",
    callback=listed(positive, "a list of sizes; write 128 or 96,128"),
    default="128",
    help="Working sizes: the short side in pixels of what the network sees.",
)
@click.option(
    "--saturation",
    callback=listed(float, "a list of factors; write 1 or 1,1.2"),
    default="1",
    help="Factors by which the colors are multiplied.",
)
@click.option("--raw", is_flag=True, help="Also show each run's last weights, without averaging.")
@click.option("--limit", type=POSITIVE, help="Use only this many photographs.")
@lpips_weights
@click.option(
    "--keep",
    type=PATH,
    metavar="FILE",
    help="Write the network, of one run at one size and saturation, as a checkpoint with that size "
    "and saturation: FP16 weights, these figures in its card.",
)
@click.option("-o", "--output", type=PATH, help="Write the figures as JSON.")
def main(
    runs: tuple[Path, ...],
    size: tuple[int, ...],
    saturation: tuple[float, ...],
    raw: bool,
    limit: int | None,
    lpips_weights: tuple[Path, ...],
    keep: Path | None,
    output: Path | None,
) -> None:
    """Compare the networks of training RUNS on the photographs that all of them held out.

    Example: python -m colorize.bench.compare_runs runs/a runs/b --size 128,160
    """
    weights = find_lpips("squeeze", lpips_weights, download=False)
    if isinstance(weights, str):
        console().print(f"LPIPS is left out: {escape(weights)}")
    if keep is not None and (len(runs), len(size), len(saturation), raw) != (1, 1, 1, False):
        raise ArgumentError("--keep takes one run at one size and saturation, without --raw")
    photos = held_out(runs)[:limit]
    kinds = (False, True) if raw else (False,)
    rows = [
        row
        for run in runs
        for kind in kinds
        for row in run_candidates(run, size, saturation, raw=kind)
    ]
    lpips = None if isinstance(weights, str) else Lpips("squeeze", weights)
    means = score(photos, rows, lpips)
    heads = [row.head for row in rows] + [{"run": GRAY}, {"run": TRUTH}]
    figures = [head | own for head, own in zip(heads, means, strict=True)]
    console().print(_table(figures, f"{len(photos)} held-out photographs"))
    if output is not None:
        with whole_file(output) as part:
            part.write_text(json.dumps(figures, indent=1) + "\n")
    if keep is not None:
        checkpoint = load_checkpoint(runs[0] / "checkpoint.safetensors")
        chosen = bake_saturation(checkpoint, size[0], saturation[0], means[0])
        chosen.save(keep, dtype=torch.float16)


def _table(figures: list[dict[str, Any]], caption: str) -> Table:
    table = Table(caption=caption)
    for title, _ in _COLUMNS.values():
        table.add_column(title, no_wrap=title == "run")
    for row in figures:
        cells = (format(row[k], how) if k in row else "-" for k, (_, how) in _COLUMNS.items())
        table.add_row(*cells)
    return table


if __name__ == "__main__":
    main()
