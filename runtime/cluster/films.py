"""The head's side of a film: stretches go out, segments come back and are checked in order.

Workers begin stretches before the ones ahead of them are done, from the last cut. A segment counts
only if it begins with what the one before it ended with: frame, picture, and all that is
remembered. A stretch that does not is made again, from there.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..errors import EngineError, OutputError
from ..files import source_identity, whole_file
from ..notices import Notice
from ..steering.follow import ReferenceSteering
from ..video.joint import rehearse
from ..video.protocols import State, Steering
from ..video.reader import VideoReader, is_seekable, shown_times
from ..video.segments import Seam, after
from ..video.sinks import Film, chooser
from .crew import Crew, Lost
from .lanes import FilmStretch, next_stretch, stretches_of
from .lead_in import known_times
from .tasks import (
    Failed,
    FilmEnds,
    FilmTask,
    Finished,
    Made,
    Message,
    Packets,
    PhotoDone,
    Reached,
    Spent,
    Unfit,
)

_MOST_ATTEMPTS = 3


@dataclass(frozen=True)
class FilmWorkers:
    """Makes the segments of films with the workers of CREW."""

    crew: Crew
    stretch_segments: int | None = None  # None: by the length of the film

    def make(self, film: Film, on_frames: Callable[[int], None]) -> None:
        """See video.sinks.SegmentMaker; raises what `colorize_video` raises, and EngineError."""
        with ExitStack() as stack:
            _FilmRun(self.crew, film, on_frames, self.stretch_segments, stack).run()


class _FilmRun:
    def __init__(
        self,
        crew: Crew,
        film: Film,
        on_frames: Callable[[int], None],
        stretch_segments: int | None,
        stack: ExitStack,
    ) -> None:
        self._crew, self._film, self._on_frames = crew, film, on_frames
        self._run, self._work, self._stack = film.run, film.work, stack
        self._segment = film.run.settings.segment_frames
        self._own = stretch_segments
        self._running = list[FilmStretch]()
        self._ahead: dict[int, int] = {}  # frames of segments that wait for those before them
        self._end: int | None = None  # segments of the whole film
        self._said = set[str]()
        source = film.run.source
        self._source = replace(source, path=source.path.absolute())
        self._seen = {self._source.path: source.identity()}
        self._steering = _visible(film.steering)
        self._seen |= {path: source_identity(path) for path in _reference_files(self._steering)}
        with closing(source.open()) as container:
            self._seekable = is_seekable(container)
            times = [] if self._trial else shown_times(container, source.video(container))
            self._times = np.array(times, np.int64)
        self._queue = self._planned()

    @property
    def _trial(self) -> bool:
        return self._run.settings.options.is_trial

    def _planned(self) -> list[FilmStretch]:
        """Return the stretches of the film whose segments are not here."""
        total = -(-len(self._times) // self._segment)
        tail = self._work.tail.number
        missing = [n for n in range(tail, total) if not self._work.has_same_references(n)]
        seeks = self._seekable  # if not, each worker decodes all that comes before its stretch
        return stretches_of(
            missing, total, self._crew.size, self._own if seeks else None, in_lanes=seeks
        )

    def run(self) -> None:
        """Have all missing segments made."""
        self._rehearse()
        for event in self._crew.events(self._next):
            self._run.check_cancel()
            self._take(event.context, event.message)
            self._report()
        end = self._end
        left = [stretch for stretch in self._queue if end is None or stretch.first < end]
        if left or self._work.waiting(self._work.tail.number):
            raise EngineError(f"{self._run.source.path}: its frames could not all be colored")

    def _rehearse(self) -> None:
        """Refuse before the work what the container cannot hold, as a run without workers does."""
        film, run = self._film, self._run
        if self._work.tail.number > 0:
            return
        first = next(VideoReader(run.source, run.container).pictures(), None)
        if first is not None:
            options, layout = chooser(film.stored, film.options)(first.layout)
            alone = film.pictures_alone
            rehearse(run, self._work.path, film.stored, options, layout, pictures_alone=alone)

    def _next(self) -> tuple[FilmTask, FilmStretch] | None:
        stretch = next_stretch(self._queue, self._running, self._follows, self._segment)
        if stretch is None:
            return None
        seam, state = self._before(stretch.first)
        self._queue.remove(stretch)
        stretch.guessed = seam is None
        self._running.append(stretch)
        return self._task(stretch, seam, state), stretch

    def _follows(self, number: int) -> bool:
        """Tell whether what segment NUMBER follows is known."""
        work, before = self._work, number - 1
        if number == work.tail.number:
            return True
        return work.waiting(before) is not None and work.has_same_references(before)

    def _before(self, number: int) -> tuple[Seam | None, State]:
        """Return what segment NUMBER follows, if that is known, and what is remembered there."""
        if number == self._work.tail.number:
            return self._work.tail, self._work.start.state
        segment = self._work.waiting(number - 1)
        if segment is None or not self._follows(number):
            return None, {}
        return after(segment, number), segment.read_state()

    def _task(self, stretch: FilmStretch, seam: Seam | None, state: State) -> FilmTask:
        film, first = self._film, stretch.first * self._segment
        known = self._times[max(first - known_times(self._segment), 0) : first]
        return FilmTask(
            source=self._source,
            seen=self._seen,
            settings=self._run.settings,
            steering=self._steering,
            stored=Path(film.stored.name),
            options=film.options,
            pictures_alone=film.pictures_alone,
            first=stretch.first,
            count=None if stretch.end is None else stretch.end - stretch.first,
            seam=seam,
            state=state,
            times=known if seam is None else None,
        )

    def _take(self, stretch: FilmStretch, message: Message | Lost) -> None:
        """Take what a worker gave of STRETCH."""
        match message:
            case Packets():
                self._write(stretch, message)
            case Made():
                self._store(stretch, message)
            case Reached():
                stretch.reached = message.frames
            case Notice():
                self._run.tell(message)
            case Spent():
                stages = {
                    **message.stages,
                    "workers": message.seconds,
                    "lead in": message.lead_in,
                }
                for name, seconds in stages.items():
                    self._run.watch.seconds[name] = self._run.watch.seconds.get(name, 0) + seconds
            case FilmEnds():
                self._end = message.segments
            case Unfit():
                stretch.unfit = True
                self._tell_once(message.reason)
            case Finished() | Failed() | Lost():
                self._end_stretch(stretch, message)
            case PhotoDone():
                raise TypeError("a film has no photographs")

    def _write(self, stretch: FilmStretch, message: Packets) -> None:
        with self._written():
            if message.begins:
                path = self._work.begin_segment(message.number)
                stretch.file = self._stack.enter_context(path.open("wb"))
            if stretch.file is not None:
                stretch.file.write(message.content.data)

    def _store(self, stretch: FilmStretch, message: Made) -> None:
        path = self._work.packets_path(message.number)
        with self._written():
            if stretch.file is not None:
                stretch.file.flush()
                os.fsync(stretch.file.fileno())
                stretch.file.close()
                stretch.file = None
            with whole_file(path.with_suffix(".npz"), lasting=True) as whole:
                whole.write_bytes(message.facts)
        self._work.put(message.number)
        stretch.made += 1
        segment = self._work.waiting(message.number)
        if segment is not None:
            self._ahead[message.number] = segment.end.frames - segment.origin.after.frames
        self._advance()

    @contextmanager
    def _written(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            reason = error.strerror or error
            raise OutputError(f"{self._work.target}: cannot write it ({reason})") from error

    def _advance(self) -> None:
        """Take the segments whose turn it is; what does not follow on is made again."""
        work = self._work
        work.reuse()
        first = work.tail.number
        for number in [each for each in self._ahead if each < first]:
            del self._ahead[number]
        if work.waiting(first) is None:
            return
        end = first
        while (segment := work.waiting(end)) is not None:
            end += 1
            following = work.waiting(end)
            self._ahead.pop(end - 1, None)
            work.begin_segment(end - 1)
            if following and not following.origin.after.is_same(after(segment, end)):
                break
        stops: list[int | None] = [end]
        for stretch in [each for each in self._running if each.first + each.made == end]:
            if stretch.first == first or (stretch.first > first and not stretch.guessed):
                self._drop(stretch)
                self._crew.abandon(stretch)
                stops.append(stretch.end)
        last = None if None in stops else max(stop for stop in stops if stop is not None)
        self._tell_once(
            f"from frame {first * self._segment} on, frames are colored once more: the film is not "
            "there as its index says"
        )
        self._put_back(FilmStretch(first, last, waits=True))

    def _end_stretch(self, stretch: FilmStretch, message: Finished | Failed | Lost) -> None:
        """Put back what is left of STRETCH, if anything is."""
        self._drop(stretch)
        attempts = 0 if stretch.made else stretch.attempts
        rest = FilmStretch(stretch.first + stretch.made, stretch.end, attempts)
        if isinstance(message, Finished):
            if stretch.unfit:
                rest.waits = True
                self._put_back(rest)
            return
        if isinstance(message, Failed) and stretch.guessed:
            rest.waits = True  # what the film has there, the worker before it will see
            self._put_back(rest)
            return
        rest.attempts += 1
        error = message.error if isinstance(message, Failed) else None
        if error is not None and not isinstance(error, EngineError):
            raise error
        if self._trial and stretch.made:  # a stretch is colored from its own first frame alone
            raise error or EngineError(
                f"{self._run.source.path}: the worker at this trial died; run the command again"
            )
        if rest.attempts == _MOST_ATTEMPTS:
            frame = rest.first * self._segment
            raise error or EngineError(
                f"{self._run.source.path}: {_MOST_ATTEMPTS} workers died one after another at the "
                f"frames from {frame} on: give them more memory, or a smaller --size"
            )
        self._put_back(rest)

    def _drop(self, stretch: FilmStretch) -> None:
        self._running.remove(stretch)
        if stretch.file is not None:
            stretch.file.close()
            stretch.file = None

    def _put_back(self, stretch: FilmStretch) -> None:
        self._queue.append(stretch)
        self._queue.sort(key=lambda each: each.first)

    def _tell_once(self, message: str) -> None:
        if message not in self._said:
            self._said.add(message)
            self._run.tell(Notice(message, topic="source"))

    def _report(self) -> None:
        under_way = (
            max(stretch.reached - stretch.made * self._segment, 0) for stretch in self._running
        )
        self._on_frames(self._work.frames + sum(self._ahead.values()) + sum(under_way))


def _visible(steering: Steering) -> Steering:
    """Return STEERING with names of files that hold from any folder."""
    if not isinstance(steering, ReferenceSteering):
        return steering
    return ReferenceSteering(
        {
            frame: replace(
                each,
                picture=each.picture and each.picture.absolute(),
                strokes=each.strokes and each.strokes.absolute(),
            )
            for frame, each in steering.references.items()
        }
    )


def _reference_files(steering: Steering) -> list[Path]:
    if not isinstance(steering, ReferenceSteering):
        return []
    return [file for each in steering.references.values() for file in each.files]
