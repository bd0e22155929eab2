"""The worker's side of photographs: read, colored and encoded there; the head writes them."""

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ..colorizer import Colorizer
from ..errors import InputError
from ..jobs import Job
from ..notices import Notice
from ..photo.photo import Photo
from ..photo.reader import pixels_of
from ..photo.stream import Steps, stream
from ..photo.writer import encode_photo, format_of
from .tasks import Finished, Message, PhotoDone, PhotoTask, sendable


@dataclass(frozen=True)
class _Item:
    index: int
    job: Job
    seen: str


def colored_photos(task: PhotoTask, colorizer: Colorizer, node: str) -> Iterator[Message]:
    """Yield each photograph of TASK in color, or its error, and Finished."""

    def read(item: _Item) -> Photo:
        source = item.job.source
        check_seen(source, partial(glance, source), item.seen, node)
        return item.job.read()

    def finish(item: _Item, photo: Photo) -> PhotoDone:
        whole, target = io.BytesIO(), item.job.target
        lost = encode_photo(whole, format_of(target.suffix) or "PNG", photo, str(target))
        notices: list[Notice] = item.job.lost(photo, lost)
        return PhotoDone(item.index, whole.getvalue(), tuple(notices))

    items = [
        _Item(index, job, seen)
        for index, (job, seen) in enumerate(zip(task.jobs, task.seen, strict=True))
    ]
    steps = Steps[_Item, PhotoDone](
        lambda item: pixels_of(item.job.source), read, finish, lambda item: item.job.hints()
    )
    for item, result in stream(colorizer, items, steps):
        try:
            yield result.result()
        except Exception as error:
            yield PhotoDone(item.index, error=sendable(error))
    yield Finished()


def glance(path: Path) -> str:
    """Return what tells a file from others without reading it; InputError if it is not there."""
    try:
        facts = path.stat()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error
    return f"{facts.st_size} bytes, {facts.st_mtime_ns}"


def check_seen(path: Path, look: Callable[[], str], seen: str, node: str) -> None:
    """Raise InputError if LOOK does not find PATH on NODE as it is on the head: SEEN."""
    try:
        here = look()
    except InputError as error:
        reason = str(error).removeprefix(f"{path}: ")
        raise InputError(
            f"{path}: the node {node} does not see it ({reason}); put it where all nodes find it "
            "under this name"
        ) from error
    if here != seen:
        raise InputError(
            f"{path}: is another file on the node {node} than here; put it where all nodes find it "
            "under this name"
        )
