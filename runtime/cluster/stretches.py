"""The worker's side of a film: a stretch of it becomes finished segments, which are sent."""

import time
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from ..color import F32
from ..colorizer import Colorizer
from ..engines.video import VideoNetwork
from ..errors import EngineError, InputError, OutOfMemoryError, OutputError
from ..files import source_identity
from ..notices import Notice, OnNotice
from ..video.frames import FrameLayout
from ..video.picture import Position
from ..video.prefetch import Stopwatch
from ..video.protocols import Batch, ColoredPicture, Run, Start
from ..video.recorder import Recorder
from ..video.segments import Seam, Segment, state_digest
from ..video.sinks import chooser
from ..video.source import StreamFacts
from ..video.stages import colored_pictures
from ..video.stretch import Stretch
from ..video.work_folder import WorkFolder
from .lead_in import MOST_FRAMES, LeadIn, lead_in
from .photo_worker import check_seen
from .tasks import FilmEnds, FilmTask, Finished, Made, Message, Packets, Reached, Spent, Unfit

_PART = 8 << 20  # bytes of a segment that are sent at once


def colored_stretch(
    task: FilmTask, colorizer: Colorizer, folder: Path, node: str
) -> Iterator[Message]:
    """Yield the segments of TASK as they are made, and Finished; Unfit if it cannot begin yet.

    Segments wait in FOLDER until they are sent. Raises the errors that `colorize_video` raises.
    """
    for path, seen in task.seen.items():
        own = task.source.identity if path == task.source.path else partial(source_identity, path)
        check_seen(path, own, seen, node)
    try:
        yield from _made(task, colorizer, folder)
    except OutputError as error:  # where segments wait here, not where the film will be
        raise EngineError(f"{node}: no room for a segment in {folder} ({error})") from error
    yield Finished()


def _made(task: FilmTask, colorizer: Colorizer, folder: Path) -> Iterator[Message]:
    began, notices = time.monotonic(), list[Notice]()
    with task.source.open() as container, TemporaryDirectory(dir=folder) as scratch:
        video = task.source.video(container)
        run = Run(
            source=task.source,
            container=container,
            video=video,
            facts=StreamFacts.of(video),
            settings=task.settings,
            tell=notices.append,
            watch=Stopwatch(),
            stretch=Stretch.of(task.source, task.settings.options),
            folder=Path(scratch),
        )
        start = _start(task, run)
        if not isinstance(start, LeadIn):
            yield Unfit(start)
            return
        made = _StretchMaker(task, run, Path(scratch))
        network = FullSizeNetwork(colorizer.network(str(task.source.path)))
        for message in made.messages(start, network):
            yield from _drained(notices)
            yield message
        yield from _drained(notices)
        yield Spent(run.watch.seconds, time.monotonic() - began, made.colored_from - began)
        if made.ended:
            yield FilmEnds(made.tail)


def _start(task: FilmTask, run: Run) -> LeadIn | str:
    """Return where to begin, or why that is not known before the stretch ahead is done."""
    if task.seam is not None:
        return LeadIn(Start(task.seam.position, task.state))
    if task.times is None:
        raise ValueError("a stretch without a seam needs times")
    try:
        found = lead_in(run, task.first * run.settings.segment_frames, task.times)
    except InputError as error:
        reason = str(error).removeprefix(f"{run.source.path}: ")
        return f"frames are colored in order where their places are not known ({reason})"
    return found or (
        f"frames without a cut in the {MOST_FRAMES} before them are colored in order, by one worker"
    )


def _drained(notices: list[Notice]) -> Iterator[Notice]:
    while notices:
        yield notices.pop(0)


class FullSizeNetwork:
    """The network at the working size that was asked for, or none: all workers answer alike."""

    def __init__(self, network: VideoNetwork) -> None:
        self._network = network
        self.shrink = network.shrink

    def infer(self, batch: Batch, hints: F32 | None, tell: OnNotice) -> F32:
        """Return ab (N, h, w, 2) for BATCH; OutOfMemoryError where only a smaller size would do."""
        notices = list[Notice]()
        ab = self._network.infer(batch, hints, notices.append)
        if self._network.halvings:
            raise OutOfMemoryError(
                f"out of memory at frame {batch.first}: give workers more, or a smaller --size"
            )
        for notice in notices:
            tell(notice)
        return ab


class _Outbox(WorkFolder):
    """A work folder whose segments are sent to the head and then forgotten."""

    def __init__(self, folder: Path, task: FilmTask, seam: Seam) -> None:
        frames, known = task.settings.segment_frames, task.settings.references
        super().__init__(folder / f"film{task.stored.suffix}", {}, frames, known)
        self._seam = seam
        self._ready: list[tuple[int, Segment]] = []

    @property
    def tail(self) -> Seam:
        """What the next segment follows."""
        return self._seam

    def add(self, segment: Segment) -> None:
        """Take the next finished segment, to be sent."""
        self._ready.append((self._seam.number, segment))
        self._seam = Seam(
            number=self._seam.number + 1,
            position=segment.end,
            state=segment.origin.end,
            interlaced=segment.interlaced,
        )

    def sent(self) -> Iterator[Message]:
        """Yield what is ready, in parts, and delete it."""
        while self._ready:
            number, segment = self._ready.pop(0)
            with segment.packets.open("rb") as file:
                begins = True
                while content := file.read(_PART):
                    yield Packets(number, begins, np.frombuffer(content, np.uint8))
                    begins = False
            facts = segment.packets.with_suffix(".npz")
            yield Made(number, facts.read_bytes())
            segment.packets.unlink()
            facts.unlink()


class _StretchMaker:
    """Makes the segments of one stretch."""

    def __init__(self, task: FilmTask, run: Run, folder: Path) -> None:
        self._task, self._run, self._folder = task, run, folder
        self._choose = chooser(task.stored, task.options)
        self.ended = False
        """Whether the film has no more frames."""
        self.tail = task.first
        """The number of the segment after the last."""
        self.colored_from = time.monotonic()
        """When the first frame came that belongs to the stretch."""

    def messages(self, lead: LeadIn, network: FullSizeNetwork) -> Iterator[Message]:
        """Color what follows LEAD and yield the segments."""
        task, run = self._task, self._run
        first = task.first * run.settings.segment_frames
        most = None if task.count is None else task.count * run.settings.segment_frames

        def stored(layout: FrameLayout) -> FrameLayout:
            return self._choose(layout)[1]

        wanted = None if most is None else first + most - lead.start.frames
        with colored_pictures(
            run, lead.start, network, None, task.steering, stored, most=wanted
        ) as items:
            seam = task.seam or self._through(items, lead, first)
            self.colored_from = time.monotonic()
            with _Outbox(self._folder, task, seam) as outbox:
                recorder = Recorder(
                    outbox,
                    task.stored,
                    self._choose,
                    run,
                    pictures_alone=task.pictures_alone,
                    rehearsed=True,
                )
                with closing(recorder):
                    done, every = 0, max(run.settings.batch, run.settings.segment_frames // 8)
                    for item in items:
                        recorder.add(item)
                        done += 1
                        if done % every == 0:
                            yield Reached(done)
                        yield from outbox.sent()
                        if done == most:
                            break
                    self.ended = done != most
                    recorder.finish()
                    yield from outbox.sent()
                self.tail = outbox.tail.number

    def _through(self, items: Iterator[ColoredPicture], lead: LeadIn, first: int) -> Seam:
        """Go through the frames before FIRST, for what is remembered of them; return that seam."""
        position, state, fields = lead.start.position, lead.start.state, lead.interlaced
        for number in range(lead.start.frames + 1, first + 1):
            item = next(items)
            if number == first:
                position, state = Position.of(first, item.picture), item.state
                fields = item.layout.interlaced
        return Seam(
            number=self._task.first,
            position=position,
            state=state_digest(state),
            interlaced=fields,
        )
