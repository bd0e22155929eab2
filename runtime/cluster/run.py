"""Jobs done by the workers of a cluster, as `jobs.run_all` does them on one machine."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np

from ..colorizer import Colorizer
from ..files import known_sha256
from ..jobs import Job, RunAll, is_streamed, run_each
from ..models.sidecar import sidecar_path
from ..notices import Notice
from ..video.options import VideoOptions
from .connection import connected
from .crew import Crew, Say
from .films import FilmWorkers
from .photos import photo_results
from .tasks import Equipment

if TYPE_CHECKING:
    from ..video.colorize import VideoProgress

THREADS = 1
"""Of an engine on the CPU: a worker has one core."""


@contextmanager
def cluster_run_all(
    address: str, colorizer: Colorizer, say: Say, workers: int | None = None
) -> Iterator[RunAll]:
    """Join the cluster at ADDRESS and yield what does jobs with its workers, at most WORKERS.

    They color as COLORIZER does. SAY is told of nodes that cannot, and of workers that die. Raises
    what `connected` and `Crew` raise.
    """
    with connected(address):
        crew = Crew(equipment_of(colorizer), say, most=workers)
        try:
            yield Runner(crew, say).run_all
        finally:
            crew.close()


class Runner:
    """Does jobs with the workers of CREW."""

    def __init__(self, crew: Crew, say: Say) -> None:
        self._crew, self._say = crew, say

    def run_all(
        self,
        jobs: Iterable[Job],
        colorizer: Colorizer,
        options: VideoOptions,
        on_progress: Callable[[Job], Callable[["VideoProgress"], None]],
    ) -> Iterator[tuple[Job, "Future[list[Notice]]"]]:
        """See `jobs.run_all`; photographs come as they are done."""
        workers = FilmWorkers(self._crew)
        for photos, group in groupby(jobs, is_streamed):
            if photos:
                batch = colorizer.best_batch
                yield from photo_results(self._crew, list(group), batch, self._say)
            else:
                yield from run_each(group, colorizer, options, on_progress, workers)


def equipment_of(colorizer: Colorizer) -> Equipment:
    """Return what workers need to color as COLORIZER does."""
    engine, beside = colorizer.engine, sidecar_path(colorizer.engine.model)
    return Equipment(
        name=engine.model.name,
        sha256=known_sha256(engine.model),
        model=np.frombuffer(engine.model.read_bytes(), np.uint8),
        sidecar=beside.read_bytes() if beside.is_file() else None,
        backend=engine.name,
        precision=engine.precision,  # type: ignore[arg-type]  # an engine names none but these
        device=engine.device.lower().partition(":")[0],  # Ray shows each worker its own GPU
        threads=THREADS if engine.device == "CPU" else None,
        size=None if engine.info.fixed_size else colorizer.size,
        saturation=colorizer.saturation,
        refine=colorizer.refine,
        cuda_graph=colorizer.cuda_graph,
        expects_hints=colorizer.expects_hints,
    )
