"""A video file as the place where a video goes: written in segments, which are muxed at the end."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ..errors import ArgumentError, ColorizeError, OutputError
from ..notices import Notice
from .codecs import choose_encoder, encoder_settings
from .encoder import EncoderChoice, create_container
from .frames import FrameLayout
from .identity import video_identity
from .muxer import RefusedError, mux_segments
from .options import VideoSettings
from .protocols import ColoredPicture, Run, Start
from .recorder import Recorder
from .segments import WorkFolder
from .source import Source


@dataclass(frozen=True)
class FileSink:
    """A file whose suffix names the container; it is written whole or not at all.

    Segments of the video wait in a folder beside it. Those that an unfinished run left are used if
    all that they depend on is the same.
    """

    target: Path

    def check(self, source: Source, settings: VideoSettings) -> None:
        """Raise ArgumentError or OutputError for an unusable codec, container or target."""
        encoder_settings(self.target, settings.options)
        create_container(self.target, self.target).close()
        if self.target.exists() and source.path.exists() and self.target.samefile(source.path):
            raise ArgumentError(f"{self.target}: is the input itself; name another output")

    @contextmanager
    def open(self, run: Run) -> Iterator["_FileWriter"]:
        """Yield what writes the file; what ends the context early says how to resume."""
        identity = video_identity(run.source, run.settings)
        settings = run.settings
        work = WorkFolder(
            self.target, identity, settings.segment_frames, references=settings.references
        )
        resumable = run.settings.made_by is not None and run.source.pipe is None
        with _kept(work, resumable=resumable), work:
            for notice in work.unused():
                run.tell(notice)
            if work.frames and not run.settings.keep_segments:
                message = f"resumes after {work.frames} finished frames"
                run.tell(Notice(message, topic="resume", frame=work.frames))
            choose = cache(lambda layout: choose_encoder(self.target, run.settings.options, layout))
            with closing(Recorder(work, self.target, choose, run)) as recorder:
                yield _FileWriter(run, work, recorder, self.target, choose)


class _FileWriter:
    def __init__(
        self, run: Run, work: WorkFolder, recorder: Recorder, target: Path, choose: EncoderChoice
    ) -> None:
        self._run, self._work, self._recorder = run, work, recorder
        self._target, self._choose = target, choose

    @property
    def start(self) -> Start:
        return self._work.start

    @property
    def frames(self) -> int:
        return self._recorder.frames

    @property
    def resumed(self) -> int:
        return self._work.reused_frames

    @property
    def folder(self) -> Path:
        return self._work.path

    def stored(self, layout: FrameLayout) -> FrameLayout:
        return self._choose(layout)[1]

    def add(self, item: ColoredPicture) -> bool:
        with self._run.watch.stage("encode"):
            if self._recorder.add(item):
                return True
            self._recorder.begin_again()
            return False

    def finish(self) -> None:
        run, work = self._run, self._work
        self._recorder.finish()
        with run.watch.stage("join"):
            if run.source.pipe is None:
                work.check_source(run.source.path, run.source.identity())
            notices = mux_segments(
                work,
                run.source,
                run.container,
                self._target,
                self._choose,
                pictures_alone=run.settings.options.is_trial,
            )
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
