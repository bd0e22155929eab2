"""Workers of one thread each against one process of several, on the same jobs, in turns."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...runtime.cluster.connection import connected
from ...runtime.cluster.crew import Crew
from ...runtime.cluster.run import THREADS, Runner, equipment_of
from ...runtime.colorizer import Colorizer
from ...runtime.errors import ColorizeError
from ...runtime.jobs import Job, RunAll, run_all
from ...runtime.notices import Notice
from ...runtime.video.options import VideoOptions
from ..speed.cost import Cost, cost_of

ALONE = "one process"


@dataclass(frozen=True)
class Throughput:
    """What was colored, by each way, in every repeat."""

    what: str
    count: int  # frames or photographs
    costs: dict[str, tuple[Cost, ...]]
    done_twice: dict[str, tuple[float, ...]]  # of films: share of the workers' time

    def ratios(self, way: str) -> list[float]:
        """Return the throughput of WAY over that of one process, in each repeat."""
        pairs = zip(self.costs[ALONE], self.costs[way], strict=True)
        return [alone.wall / own.wall for alone, own in pairs]


@dataclass
class Ways:
    """The ways to do jobs, opened and warm."""

    runners: dict[str, tuple[RunAll, Colorizer]]
    options: VideoOptions

    def measure(self, what: str, sources: Sequence[Path], folder: Path, repeats: int) -> Throughput:
        """Color SOURCES into FOLDER, REPEATS times each way, forth and back."""
        costs: dict[str, list[Cost]] = {name: [] for name in self.runners}
        twice: dict[str, list[float]] = {name: [] for name in self.runners}
        count = len(sources)
        for repeat in range(repeats):
            for name in list(self.runners)[:: 1 if repeat % 2 == 0 else -1]:
                figures = list[dict[str, float]]()
                costs[name].append(cost_of(self._work(name, sources, folder, figures)))
                if figures:
                    count = sum(int(each["frames"]) for each in figures)
                if worked := sum(each.get("workers_seconds", 0) for each in figures):
                    lead = sum(each.get("lead_in_seconds", 0) for each in figures)
                    twice[name].append(lead / worked)
        return Throughput(
            what,
            count,
            {name: tuple(each) for name, each in costs.items()},
            {name: tuple(each) for name, each in twice.items() if each},
        )

    def _work(
        self, name: str, sources: Sequence[Path], folder: Path, figures: list[dict[str, float]]
    ) -> Callable[[], None]:
        runner, colorizer = self.runners[name]
        jobs = [Job(source, folder / source.name, overwrite=True) for source in sources]

        def quiet(_: Job) -> Callable[[Any], None]:
            return lambda _: None

        def work() -> None:
            for job, outcome in runner(jobs, colorizer, self.options, quiet):
                if (error := outcome.exception()) is not None:
                    raise ColorizeError(f"{job.source}: {error}")
                for notice in outcome.result():
                    if notice.figures is not None:
                        figures.append(dict(notice.figures))

        return work


def open_ways(
    stack: ExitStack,
    model: Path,
    workers: Sequence[int],
    threads: int,
    options: VideoOptions,
    say: Callable[[Notice | str], None],
) -> Ways:
    """Open one process of THREADS and crews of WORKERS, all in one local cluster, on STACK."""
    alone = stack.enter_context(Colorizer(model, device="cpu", threads=threads, on_notice=say))
    own = stack.enter_context(Colorizer(model, device="cpu", threads=THREADS, on_notice=say))
    stack.enter_context(connected("local", sum(workers)))
    runners: dict[str, tuple[RunAll, Colorizer]] = {ALONE: (run_all, alone)}
    for count in workers:
        crew = Crew(equipment_of(own), say, most=count)
        stack.callback(crew.close)
        crew.gather()
        runners[f"{count} worker{'s' if count > 1 else ''}"] = Runner(crew, say).run_all, own
    return Ways(runners, options)
