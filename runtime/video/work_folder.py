"""The folder beside a video in which its finished segments wait for the last one."""

import json
import math
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import count, takewhile
from pathlib import Path
from typing import Self

from filelock import FileLock, Timeout

from ..errors import InputError, OutputError
from ..files import WORK_SUFFIX, fitting, sha256, whole_file
from ..notices import Notice
from .picture import Flaws
from .protocols import Start
from .segments import FORMAT, Seam, Segment, after

_MANIFEST = "manifest.json"
_KEY_DIGITS = 8


class WorkFolder:
    """Where the finished segments of one video wait for the last one; a context manager.

    IDENTITY is everything that the frames depend on. Where it differs, so does the folder's name:
    segments of another run are neither used nor lost.
    """

    def __init__(
        self,
        target: Path,
        identity: Mapping[str, str],
        segment_frames: int,
        references: Mapping[int, str] | None = None,
    ) -> None:
        """REFERENCES has what tells the content of each reference, by its frame."""
        self.segment_frames = segment_frames
        self.references = dict(references or {})
        self.reused = 0
        """How many of the segments an earlier run had finished."""
        self.reused_frames = 0
        self._stored: dict[int, Segment] = {}  # on the disk, not yet known to be of use
        self._new = set[int]()  # of those, the ones that this run's helpers made
        self.target = target
        self._identity = {**identity, "format of segments": str(FORMAT)}
        key = sha256(json.dumps(self._identity, sort_keys=True).encode())[:_KEY_DIGITS]
        end = f".{key}{WORK_SUFFIX}"
        self._start = f".{fitting(target.name, f'.{end}')}."  # of the names of all its folders
        self.path = target.with_name(f"{self._start[:-1]}{end}")
        self.segments: list[Segment] = []
        self._lock = FileLock(self.path / "lock", timeout=0)

    @property
    def frames(self) -> int:
        """How many frames are finished."""
        return self.segments[-1].end.frames if self.segments else 0

    @property
    def tail(self) -> Seam:
        """What the next segment follows."""
        return after(self.segments[-1], len(self.segments)) if self.segments else Seam()

    @property
    def start(self) -> Start:
        """Where a run begins that continues these segments."""
        if not self.segments:
            return Start()
        return Start(position=self.segments[-1].end, state=self.segments[-1].read_state())

    @property
    def size(self) -> int:
        """Bytes on the disk."""
        return sum(path.stat().st_size for path in self.path.iterdir())

    def check_source(self, path: Path, identity: str) -> None:
        """Raise InputError if IDENTITY, of the source PATH, is not what the segments are of."""
        if identity != self._identity["source"]:
            raise InputError(f"{path}: changed while it was read")

    def __enter__(self) -> Self:
        """Make the folder, or read what is in it; OutputError if another run is at work there."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock.acquire()
            if self._manifest(self.path) != self._identity:
                with whole_file(self.path / _MANIFEST, lasting=True) as part:
                    part.write_text(json.dumps(self._identity, indent=1))
            else:
                self._load()
        except Timeout as error:
            raise OutputError(f"{self.target}: another run is writing it") from error
        except OSError as error:
            reason = error.strerror or error
            raise OutputError(f"{self.target}: cannot write there ({reason})") from error
        except BaseException:  # a signal: nobody will call __exit__
            if self._lock.is_locked:
                self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.release()
        if not self.segments and not self._stored:
            shutil.rmtree(self.path, ignore_errors=True)

    def _load(self) -> None:
        for facts in self.path.glob("*.npz"):
            segment = Segment.load(facts.with_suffix(".packets"))
            if segment is not None and facts.stem.isdecimal():
                self._stored[int(facts.stem)] = segment
        self.reuse()

    def reuse(self) -> bool:
        """Take the next segments from the disk, as far as they are what would be made again."""
        before = len(self.segments)
        while self.is_reusable(self.tail):
            number = len(self.segments)
            segment = self._stored.pop(number)
            if number not in self._new:
                self.reused += 1
                self.reused_frames += segment.end.frames - self.frames
            self.add(segment)
        return len(self.segments) > before

    def is_reusable(self, seam: Seam) -> bool:
        """Return whether the segment after JOINT is on the disk as it would be made again."""
        segment = self._stored.get(seam.number)
        if segment is None or not segment.origin.after.is_same(seam):
            return False
        return self.has_same_references(seam.number)

    def has_same_references(self, number: int) -> bool:
        """Return whether segment NUMBER is on the disk, made with the references that there are."""
        segment = self._stored.get(number)
        if segment is None:
            return False
        first = segment.origin.after.frames
        later = takewhile(lambda each: each in self._stored, count(number))
        own = [self._stored[each] for each in later]
        end, cuts = segment.end.frames, [cut for each in own for cut in each.origin.cuts]
        stop = min((cut for cut in cuts if cut >= end), default=math.inf)

        def within(references: Mapping[int, str]) -> list[tuple[int, str]]:
            """Return those in the segment, and the next of its last scene; the state has others."""
            later = sorted(item for item in references.items() if first <= item[0] < stop)
            inside = [item for item in later if item[0] < end]
            return later[: len(inside) + 1]

        return within(segment.origin.references) == within(self.references)

    def add(self, segment: Segment) -> None:
        """Take the next finished segment; the state after earlier ones is not needed any more."""
        if self.segments:
            known, position = self.segments[-1].end.flaws, segment.origin.after.position
            flaws = segment.end.flaws.rebased(position.flaws if position else Flaws(), known)
            segment = replace(segment, end=replace(segment.end, flaws=flaws))
            self.segments[-1] = replace(self.segments[-1], state=None)
        self.segments.append(segment)

    def put(self, number: int) -> None:
        """Know segment NUMBER, which a helper made and whose files are here; OutputError if not."""
        segment = Segment.load(self.packets_path(number))
        if segment is None:
            raise OutputError(f"{self.target}: segment {number} was not stored whole")
        self._stored[number] = segment
        self._new.add(number)

    def waiting(self, number: int) -> Segment | None:
        """Return segment NUMBER if it is on the disk and those before it are still missing."""
        return self._stored.get(number)

    def packets_path(self, number: int) -> Path:
        """Return where the packets of segment NUMBER are."""
        return self.path / f"{number:05}.packets"

    def begin_segment(self, number: int) -> Path:
        """Return where to write the packets of segment NUMBER; what was there is forgotten."""
        self._stored.pop(number, None)
        packets = self.packets_path(number)
        packets.with_suffix(".npz").unlink(missing_ok=True)
        return packets

    def forget(self) -> None:
        """Remove the segments."""
        self.segments, self._stored = [], {}
        shutil.rmtree(self.path, ignore_errors=True)

    def remove(self, *, keep: bool = False) -> None:
        """Remove the segments, for the video is whole; those of other runs for it go too.

        KEEP: its own stay.
        """
        for folder in self._others():
            shutil.rmtree(folder, ignore_errors=True)
        if not keep:
            self.forget()

    def unused(self) -> Iterator[Notice]:
        """Yield of which earlier runs the segments are not used, and why."""
        for folder in self._others():
            theirs = self._manifest(folder)
            differing = [key for key in self._identity if theirs.get(key) != self._identity[key]]
            message = (
                f"finished segments of an earlier run are not used: its {', '.join(differing)} "
                f"differed ({folder})"
            )
            yield Notice(message, topic="resume", severity="warning")

    def _others(self) -> list[Path]:
        try:
            beside = sorted(self.target.parent.iterdir())
        except OSError:
            return []
        return [
            path
            for path in beside
            if path.name.startswith(self._start)
            and len(path.name) == len(self.path.name)
            and path.suffix == WORK_SUFFIX
            and path != self.path
            and (path / "00000.npz").is_file()
        ]

    @staticmethod
    def _manifest(folder: Path) -> dict[str, str]:
        try:
            manifest = json.loads((folder / _MANIFEST).read_bytes())
        except (OSError, ValueError):
            return {}
        return manifest if isinstance(manifest, dict) else {}
