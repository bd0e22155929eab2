"""On paper: how long films take on many workers, and what the head has to carry.

Example: python -m colorize.bench.cluster.scaling --frame-seconds 0.28
"""

import math
from dataclasses import dataclass
from itertools import pairwise

import click
from rich.console import Console
from rich.table import Table

from ...runtime.cluster.lanes import stretches_of
from ...runtime.command import Command
from ..options import DEFAULTS_SHOWN, POSITIVE

_SEGMENT = 240  # frames
_SOUGHT = 250  # frames that are decoded again where a position is sought
_LOOKED = 288  # frames that are searched for a cut
_PROGRESS = 30  # frames of a message
_PART = 8e6  # bytes of a message


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What was measured of one worker and of the head."""

    frame_seconds: float  # of a worker, to color and encode a frame
    decode_seconds: float  # of these, to decode it
    frame_bytes: float  # of a colored frame
    cut_seconds: float  # between cuts
    message_ms: float  # of the head's processor, for each message
    megabyte_ms: float  # of the head's processor, to take and store a megabyte
    network_mb: float  # a second, that reach the head
    disk_mb: float  # a second, that the head's disk writes


@dataclass(frozen=True)
class Plan:
    """One film on some workers."""

    workers: int
    stretches: int
    seconds: float  # until the film is whole
    busy: float  # share of the workers' time in which they work
    twice: float  # share of the work that is done twice
    head: float  # share of one of the head's cores
    megabytes: float  # a second that reach the head
    limit: str  # what the head cannot carry; "" if it can


def plan(frames: int, rate: float, workers: int, measured: Measured) -> Plan:
    """Return how FRAMES, RATE a second, go through WORKERS.

    Stretches are cut as `cluster.lanes` cuts them, and each worker goes through its lane of them.
    """
    segments = math.ceil(frames / _SEGMENT)
    stretches = stretches_of(range(segments), segments, workers, None)
    begins = [stretch.first for stretch in stretches if stretch.begins_lane]
    lengths = [end - begin for begin, end in pairwise([*begins, segments])]
    since_cut = measured.cut_seconds * rate / 2
    sought = _SOUGHT * measured.decode_seconds
    looked = _LOOKED * measured.decode_seconds + since_cut * measured.frame_seconds
    # At the film's begin nothing is sought; before other lanes twice, before other stretches once.
    twice = (len(stretches) - 1) * sought + (len(lengths) - 1) * (sought + looked)
    own = segments * _SEGMENT * measured.frame_seconds
    following = (len(stretches) / len(lengths) - 1) * sought
    lead = 2 * sought + looked if len(lengths) > 1 else 0.0
    coloring = max(lengths) * _SEGMENT * measured.frame_seconds + lead + following
    size = frames * measured.frame_bytes / 1e6
    join = 2 * size / measured.disk_mb  # the segments are read, and the film is written
    messages = frames / _PROGRESS + size * 1e6 / _PART + 2 * segments
    head = (messages * measured.message_ms + size * measured.megabyte_ms) / 1000 / coloring
    rates = {
        "a core": head,
        "the network": size / coloring / measured.network_mb,
        "the disk": size / coloring / measured.disk_mb,
    }
    worst = max(rates, key=lambda name: rates[name])
    slower = max(rates[worst], 1.0)  # all wait for what is full
    return Plan(
        workers,
        len(stretches),
        coloring * slower + join,
        (own + twice) / (coloring * workers),
        twice / (own + twice),
        head,
        size / coloring,
        worst if rates[worst] > 1 else "",
    )


def saturating_workers(rate_per_worker: float, measured: Measured) -> dict[str, int]:
    """Return from how many workers on each part of the head is full.

    Workers color RATE_PER_WORKER frames a second.
    """
    size = measured.frame_bytes / 1e6
    core = (
        (1 / _PROGRESS + 2 / _SEGMENT + measured.frame_bytes / _PART) * measured.message_ms
        + size * measured.megabyte_ms
    ) / 1000
    return {
        "a core": int(1 / (rate_per_worker * core)),
        "the network": int(measured.network_mb / (rate_per_worker * size)),
        "the disk": int(measured.disk_mb / (rate_per_worker * size)),
    }


@click.command(
    cls=Command, name="python -m colorize.bench.cluster.scaling", context_settings=DEFAULTS_SHOWN
)
@click.option("--frame-seconds", type=float, default=0.280, help="Of one worker, for a frame.")
@click.option("--decode-seconds", type=float, default=0.010, help="Of these, to decode it.")
@click.option("--frame-bytes", type=float, default=31_000, help="Of a colored frame.")
@click.option("--cut-seconds", type=float, default=5.0, help="Between cuts.")
@click.option("--message-ms", type=float, default=1.3, help="Of the head's processor, a message.")
@click.option("--megabyte-ms", type=float, default=1.0, help="The same, a megabyte stored.")
@click.option("--network", type=float, default=1100, help="Megabytes a second to the head.")
@click.option("--disk", type=float, default=400, help="Megabytes a second that its disk writes.")
@click.option("--hours", type=float, default=2.0, help="Length of a film.")
@click.option("--rate", type=float, default=24.0, help="Frames a second.")
@click.option("--films", type=POSITIVE, default=1000, help="Of the archive.")
@click.option("--workers", type=POSITIVE, multiple=True, default=(8, 64, 512))
def main(
    frame_seconds: float,
    decode_seconds: float,
    frame_bytes: float,
    cut_seconds: float,
    message_ms: float,
    megabyte_ms: float,
    network: float,
    disk: float,
    hours: float,
    rate: float,
    films: int,
    workers: tuple[int, ...],
) -> None:
    """Tell how long a film and an archive take on many workers, from measured times.

    The defaults are those of a 2160-line film on one core (docs/scaling.md).

    Example: python -m colorize.bench.cluster.scaling --frame-bytes 300000
    """
    measured = Measured(
        frame_seconds=frame_seconds,
        decode_seconds=decode_seconds,
        frame_bytes=frame_bytes,
        cut_seconds=cut_seconds,
        message_ms=message_ms,
        megabyte_ms=megabyte_ms,
        network_mb=network,
        disk_mb=disk,
    )
    frames = round(hours * 3600 * rate)
    table = Table(
        "workers", "stretches", "a film", f"{films} films", "busy", "twice", "head", "MB/s", "full"
    )
    for count in workers:
        one = plan(frames, rate, count, measured)
        table.add_row(
            str(count),
            str(one.stretches),
            _hours(one.seconds),
            _hours(films * one.seconds),
            f"{one.busy:.0%}",
            f"{one.twice:.1%}",
            f"{one.head:.1%}",
            f"{one.megabytes:.1f}",
            one.limit or "-",
        )
    Console(highlight=False, width=100).print(table)
    for part, most in saturating_workers(1 / frame_seconds, measured).items():
        click.echo(f"{part} of the head is full from {most:,} workers on")


def _hours(seconds: float) -> str:
    hours = seconds / 3600
    return f"{hours / 24:.1f} days" if hours >= 48 else f"{hours:.2f} h"


if __name__ == "__main__":
    main()
