"""From segments to the finished file: rehearsed before the work, joined after it."""

from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path

from av.container import InputContainer

from ..errors import ArgumentError, OutputError
from ..files import flush
from ..notices import Notice
from .codecs import encoder_settings
from .encoder import EncoderChoice, encoded_trial
from .fitting import can_be_read
from .frames import FrameLayout
from .muxer import TIMECODE, Muxer, RefusedError, given_sound, lost_tags
from .options import VideoOptions
from .protocols import Run
from .room import check_room, free_room
from .segments import WorkFolder
from .source import Source
from .stretch import Window

_REHEARSED = 60  # packets of each stream


def without_refused(
    source: Source,
    opened: InputContainer,
    options: VideoOptions,
    attempt: Callable[[InputContainer, Collection[int]], list[Notice]],
) -> list[Notice]:
    """Return what ATTEMPT does with SOURCE, without the streams that the container refuses.

    OPENED is SOURCE, open; OPTIONS may name more sound. ATTEMPT gets it newly opened, and which
    streams to leave out. RefusedError if it is not even done without any.
    """

    def tried(without: Collection[int]) -> list[Notice]:
        with source.again(opened) as container:
            return attempt(container, without)

    refused = set[int]()
    while True:
        try:
            return tried(refused)
        except RefusedError as error:
            if error.stream is None or error.stream in refused:
                break
            refused.add(error.stream)
    video = source.video(opened).index
    own = {stream.index for stream in opened.streams} - {video}
    rest = {TIMECODE, *own, *given_sound(options)} - refused
    for one in sorted(rest):
        with suppress(RefusedError):
            return tried({*refused, one})
    return tried(refused | rest)


def rehearse(
    run: Run,
    folder: Path,
    target: Path,
    options: VideoOptions,
    layout: FrameLayout,
    *,
    pictures_alone: bool = False,
) -> None:
    """Write a few frames and the first packets of all else to a file in FOLDER.

    What its container refuses shows before the work: ArgumentError. OutputError if the disk is too
    full: see `check_room`.
    """
    check_room(run, folder, target, options, layout)
    trial = folder / f".rehearsal{target.suffix}"

    def attempt(container: InputContainer, without: Collection[int]) -> list[Notice]:
        video = run.source.video(container)
        window = run.stretch.window
        if pictures_alone:
            without = {stream.index for stream in container.streams}
        muxer = Muxer(container, video, trial, target, options, layout, without, window=window)
        try:
            muxer.write(encoded_trial(target, options, layout, run.facts), _REHEARSED)
        finally:
            muxer.close()
        if not can_be_read(trial, encoder_settings(target, options)[0]):
            raise RefusedError("its picture cannot be read back")
        return muxer.notices

    try:
        without_refused(run.source, run.container, options, attempt)
    except RefusedError as error:
        raise ArgumentError(
            f"codec {options.codec}: cannot be used in {target.suffix} ({error})"
        ) from error
    finally:
        trial.unlink(missing_ok=True)


def mux_segments(
    work: WorkFolder,
    source: Source,
    opened: InputContainer,
    target: Path,
    choose: EncoderChoice,
    window: Window | None = None,
) -> list[Notice]:
    """Write the segments of WORK and the other streams of SOURCE, which is OPENED, to TARGET.

    Of those streams, what is in WINDOW is written.

    Return what of it is not as in the source.
    """
    needed = int(sum(segment.sizes.sum() for segment in work.segments))
    free = free_room(work.path)
    if free < needed:
        raise OutputError(
            f"{target}: its parts take {needed / 1e9:.1f} GB more to be joined, and only "
            f"{free / 1e9:.1f} GB are free; make room"
        )
    options, layout = choose(work.segments[0].layout)
    carried = work.segments[-1].end.flaws.carried
    part = work.path / f".joined{target.suffix}"  # on the target's disk, and gone with the folder

    def join(container: InputContainer, without: Collection[int]) -> list[Notice]:
        video = source.video(container)
        muxer = Muxer(
            container,
            video,
            part,
            target,
            options,
            layout,
            without,
            carried,
            window=window,
        )
        try:
            muxer.write(muxer.film(work.segments))
        finally:
            muxer.close()
        return muxer.notices

    try:
        notices = without_refused(source, opened, options, join)
        notices += lost_tags(opened, part)
        flush(part)  # before the segments go: the power may fail right after
        part.replace(target)
    except OSError as error:
        reason = error.strerror or error
        raise OutputError(f"{target}: cannot write it ({reason})") from error
    finally:
        part.unlink(missing_ok=True)
    return notices
