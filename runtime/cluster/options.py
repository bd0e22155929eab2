"""What colorize-run takes for a cluster; Ray is imported only where one is used."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from ..command import refuse_given, require_extra
from ..errors import ArgumentError
from ..inputs import PIPE
from ..jobs import RunAll, run_all
from ..notices import Notice

if TYPE_CHECKING:
    from ..colorizer import Colorizer

Decorated = TypeVar("Decorated", bound=Callable[..., object])


def cluster_options(command: Decorated) -> Decorated:
    """Give COMMAND the options of a cluster."""
    cluster = click.option(
        "--cluster",
        metavar="local|auto|ADDRESS",
        help="Color on a Ray cluster: one that is started here, the one that runs here, or that at "
        "HOST:PORT or ray://HOST:PORT.",
    )
    workers = click.option(
        "--workers",
        type=click.IntRange(min=1),
        metavar="N",
        help="With --cluster: the most workers. Default: one for each of its cores, or GPUs.",
    )
    return cluster(workers(command))


def check_cluster(address: str | None, paths: Iterable[Path | None]) -> None:
    """Raise ArgumentError or MissingExtraError for what cannot be done on the cluster at ADDRESS.

    PATHS are all that are read or written; without a cluster nothing is refused but its options.
    """
    if address is None:
        refuse_given(["workers"], "goes with --cluster")
        return
    if not address:
        raise ArgumentError("--cluster: is empty; give local, auto or an address")
    if PIPE in paths:
        raise ArgumentError("--cluster takes files: a pipe reaches one machine alone")
    refuse_given(("show", "dry_run", "extract_references"), "does not go with --cluster")
    require_extra("cluster", ["ray"])


@contextmanager
def runner_of(
    address: str | None,
    workers: int | None,
    colorizer: "Colorizer",
    say: Callable[[Notice | str], None],
) -> Iterator[RunAll]:
    """Yield what does the jobs: this process, or at most WORKERS of the cluster at ADDRESS."""
    if address is None:
        yield run_all
        return
    from .run import cluster_run_all

    with cluster_run_all(address, colorizer, say, workers) as runner:
        yield runner
