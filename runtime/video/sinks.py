"""A video file as the place where a video goes: written in segments, which are muxed at the end."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ..errors import ArgumentError, ColorizeError, OutputError
from ..notices import Notice
from .codecs import choose_encoder
from .encoder import EncoderChoice
from .fitting import check_fit
from .frames import FrameLayout
from .identity import video_identity
from .joint import mux_segments
from .muxer import RefusedError
from .options import VideoSettings
from .protocols import ColoredPicture, Run, Start
from .recorder import Recorder
from .segments import WorkFolder
from .source import Source, open_sound


@dataclass(frozen=True)
class FileSink:
    """A file whose suffix names the container; it is written whole or not at all.

    Segments of the video wait in a folder beside it. Those that an unfinished run left are used if
    all that they depend on is the same.
    """

    target: Path

    def check(self, source: Source, settings: VideoSettings) -> None:
        """Raise ArgumentError or OutputError for an unusable codec, container or target."""
        check_fit(self.target, settings.options)
        if settings.options.audio is not None:
            open_sound(settings.options.audio).close()
        if self.target.exists() and source.path.exists() and self.target.samefile(source.path):
            raise ArgumentError(f"{self.target}: is the input itself; name another output")

    @contextmanager
    def open(self, run: Run) -> Iterator["FileWriter"]:
        """Yield what writes the file; what ends the context early says how to resume."""
        window = run.stretch.window
        choose = cache(lambda layout: choose_encoder(self.target, run.settings.options, layout))

        def join(work: WorkFolder) -> list[Notice]:
            return mux_segments(work, run.source, run.container, self.target, choose, window)

        with written(run, self.target, self.target, choose, join) as writer:
            yield writer


@contextmanager
def written(
    run: Run,
    target: Path,
    stored: Path,
    choose: EncoderChoice,
    finish: Callable[[WorkFolder], list[Notice]],
    *,
    pictures_alone: bool = False,
) -> Iterator["FileWriter"]:
    """Yield what writes RUN to TARGET: in segments whose form is that of the container STORED.

    FINISH makes TARGET of them and returns what is not as in the source; PICTURES_ALONE says that
    no other stream of the source will be in it.
    """
    settings = run.settings
    work = WorkFolder(
        target,
        video_identity(run.source, settings),
        settings.segment_frames,
        references=settings.references,
    )
    resumable = settings.made_by is not None and run.source.pipe is None
    with _kept(work, resumable=resumable), work:
        for notice in work.unused():
            run.tell(notice)
        if work.frames and not settings.keep_segments:
            message = f"resumes after {work.frames} finished frames"
            run.tell(Notice(message, topic="resume", frame=work.frames))
        recorder = Recorder(work, stored, choose, run, pictures_alone=pictures_alone)
        with closing(recorder):
            yield FileWriter(run, work, recorder, choose, finish)


class FileWriter:
    """Takes the frames of one video and makes a file of them at the end."""

    def __init__(
        self,
        run: Run,
        work: WorkFolder,
        recorder: Recorder,
        choose: EncoderChoice,
        finish: Callable[[WorkFolder], list[Notice]],
    ) -> None:
        self._run, self._work, self._recorder = run, work, recorder
        self._choose, self._finish = choose, finish

    @property
    def start(self) -> Start:
        """Where the next frames begin."""
        return self._work.start

    @property
    def frames(self) -> int:
        """How many frames it has, those of an earlier run too."""
        return self._recorder.frames

    @property
    def resumed(self) -> int:
        """How many of them an earlier run had finished."""
        return self._work.reused_frames

    @property
    def folder(self) -> Path:
        """Where there is room for what a run keeps until its end."""
        return self._work.path

    def stored(self, layout: FrameLayout) -> FrameLayout:
        """Return the layout in which frames of LAYOUT are written; ArgumentError if in none."""
        return self._choose(layout)[1]

    def add(self, item: ColoredPicture) -> bool:
        """Take the next frame; False if an earlier run finished those that follow."""
        with self._run.watch.stage("encode"):
            if self._recorder.add(item):
                return True
            self._recorder.begin_again()
            return False

    def finish(self) -> None:
        """Make the file, and tell what is not as in the source."""
        run, work = self._run, self._work
        self._recorder.finish()
        with run.watch.stage("join"):
            if run.source.pipe is None:
                work.check_source(run.source.path, run.source.identity())
            notices = self._finish(work)
        for notice in notices:
            run.tell(notice)
        work.remove(keep=run.settings.keep_segments)
        if run.settings.keep_segments:
            message = (
                f"{work.reused} of {len(work.segments)} segments were reused; they are kept in "
                f"{work.path} ({work.size / 1e6:.0f} MB) for other references: --discard-work "
                "removes them"
            )
            run.tell(Notice(message, topic="output"))


@contextmanager
def _kept(work: WorkFolder, *, resumable: bool) -> Iterator[None]:
    """Add to an error how the video can be resumed; forget the segments where it cannot."""
    try:
        yield
    except (ColorizeError, KeyboardInterrupt, MemoryError) as error:
        if not resumable:
            work.forget()
        if work.frames == 0:
            raise
        hint = f"{work.frames} finished frames are kept in {work.path}"
        if not isinstance(error, RefusedError):  # it would come again
            hint += ": run the same command again to resume"
        kind = OutputError if isinstance(error, RefusedError) else type(error)
        raise kind(f"{error}; {hint}" if str(error) else hint) from error
    except BaseException:
        if not resumable:
            work.forget()
        raise
