"""Finished parts of a video in a folder beside it, from which a stopped run is resumed.

A segment is two files: NNNNN.packets, the encoded frames one after another, and NNNNN.npz, their
times and sizes and the state in which the next segment begins. The .npz file is written last and
appears whole, so a segment that has one is complete.
"""

import hashlib
import io
import json
import math
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import count, islice, takewhile
from pathlib import Path
from typing import Any, Self
from zipfile import BadZipFile

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from ..errors import InputError, OutputError
from ..files import WORK_SUFFIX, fitting, sha256, whole_file
from ..notices import Notice
from .flaws import Flaws
from .frames import FrameLayout
from .protocols import Start, State
from .reader import Position

FORMAT = 3
"""Of the files of a segment; another one makes another identity."""
_MANIFEST = "manifest.json"
_KEY_DIGITS = 8
_STATE = "state "  # begins the names of a state's arrays


@dataclass(frozen=True)
class Origin:
    """What the frames of a segment depend on, beside the identity of the video."""

    begin: str  # digest of the state before its first frame
    end: str  # digest of the state after its last frame
    cuts: tuple[int, ...]  # those of its frames that begin scenes
    references: Mapping[int, str]  # all that there were: what tells their content, by frame


def state_digest(state: State) -> str:
    """Return the SHA-256 of a state."""
    digest = hashlib.sha256()
    for name in sorted(state):
        digest.update(f"{name} {state[name].dtype} {state[name].shape} ".encode())
        digest.update(np.ascontiguousarray(state[name]).data)
    return digest.hexdigest()


@dataclass(frozen=True, kw_only=True)
class Segment:
    """Encoded frames of one stretch of video, in the order of decoding."""

    packets: Path
    pts: NDArray[np.int64]
    durations: NDArray[np.int64]
    sizes: NDArray[np.int64]
    keyframes: NDArray[np.bool_]
    headers: Mapping[int, bytes]  # the encoder's, by the row from which they hold
    interlaced: bool  # whether its last frames are stored as fields
    end: Position
    layout: FrameLayout
    origin: Origin
    state: State | None  # after the last frame; None: it is on the disk alone

    @property
    def reordering(self) -> int:
        """How many frames later than shown the latest frame is stored."""
        rank = np.empty(len(self.pts), np.int64)
        rank[np.argsort(self.pts)] = np.arange(len(self.pts))
        return int((np.arange(len(self.pts)) - rank).max(initial=0))

    def save(self) -> None:
        """Write the .npz file; what it names must be on the disk already."""
        arrays: dict[str, NDArray[np.generic]] = {
            "pts": self.pts,
            "durations": self.durations,
            "sizes": self.sizes,
            "keyframes": self.keyframes,
            "headers": np.array(json.dumps({n: h.hex() for n, h in self.headers.items()})),
            "interlaced": np.array(self.interlaced),
            "end": np.array(json.dumps(asdict(self.end))),
            "layout": np.array(json.dumps(asdict(self.layout))),
            "origin": np.array(json.dumps(asdict(self.origin))),
        }
        arrays |= {_STATE + name: array for name, array in (self.state or {}).items()}
        content = io.BytesIO()
        np.savez_compressed(content, **arrays)  # type: ignore[arg-type]  # the stub takes it for allow_pickle
        with whole_file(self.packets.with_suffix(".npz"), lasting=True) as part:
            part.write_bytes(content.getvalue())

    @classmethod
    def load(cls, packets: Path) -> "Segment | None":
        """Read what `save` wrote; None if it is not there or not whole."""
        try:
            with np.load(packets.with_suffix(".npz"), allow_pickle=False) as file:
                stored = dict(file)  # the state too, for only what is read is checked
            size = packets.stat().st_size
        except (OSError, EOFError, ValueError, KeyError, RuntimeError, BadZipFile):
            return None  # a damaged archive raises any of these
        names = ("end", "layout", "origin", "headers")
        end, layout, origin, headers = (json.loads(str(stored[name])) for name in names)
        known = {int(frame): said for frame, said in origin["references"].items()}
        segment = cls(
            packets=packets,
            pts=stored["pts"],
            durations=stored["durations"],
            sizes=stored["sizes"],
            keyframes=stored["keyframes"],
            headers={int(row): bytes.fromhex(header) for row, header in headers.items()},
            interlaced=bool(stored["interlaced"]),
            end=Position(**{**end, "flaws": Flaws(**_tuples(end["flaws"]))}),
            layout=FrameLayout(**_tuples(layout)),
            origin=Origin(**{**origin, "references": known, "cuts": tuple(origin["cuts"])}),
            state=None,
        )
        return segment if size == segment.sizes.sum() else None

    def read_state(self) -> State:
        """Return the state after its last frame, from the disk if it must be."""
        if self.state is not None:
            return self.state
        with np.load(self.packets.with_suffix(".npz"), allow_pickle=False) as stored:
            names = [name for name in stored.files if name.startswith(_STATE)]
            return {name.removeprefix(_STATE): stored[name] for name in names}


def _tuples(fields: dict[str, Any]) -> dict[str, Any]:
    """Return FIELDS of a dataclass as they were before they became JSON."""
    return {key: tuple(each) if isinstance(each, list) else each for key, each in fields.items()}


@dataclass(frozen=True, kw_only=True)
class StoredPacket:
    """One packet of the whole video; times are in the source's time base."""

    data: bytes
    pts: int
    dts: int
    duration: int
    is_keyframe: bool
    header: bytes  # that the decoder must know


def stored_packets(segments: Sequence[Segment]) -> Iterator[StoredPacket]:
    """Yield the packets of all SEGMENTS, with decoding times as one encoder would have given them.

    Each segment had an encoder of its own, whose decoding times would overlap where segments meet.
    Instead frames are decoded at the times of showing in order, earlier by as many frames as are
    stored out of order.
    """
    late = max((segment.reordering for segment in segments), default=0)
    times = _decoding_times(segments, late)
    for segment in segments:
        header = b""
        with segment.packets.open("rb") as file:
            columns = (segment.sizes, segment.pts, segment.durations, segment.keyframes)
            rows = zip(*(c.tolist() for c in columns), strict=True)
            for row, (size, pts, duration, key) in enumerate(rows):
                header = segment.headers.get(row, header)
                yield StoredPacket(
                    data=file.read(size),
                    pts=pts,
                    dts=next(times),
                    duration=duration,
                    is_keyframe=key,
                    header=header,
                )


def _decoding_times(segments: Sequence[Segment], late: int) -> Iterator[int]:
    """Yield the times of showing in order, behind LATE earlier ones; they do not end too early."""

    def shown() -> Iterator[int]:
        return (int(pts) for segment in segments for pts in np.sort(segment.pts))

    head = list(islice(shown(), late + 1))
    if head:
        lead = head[-1] - head[0]
        yield from (pts - lead for pts in head[:-1])
        yield from shown()


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
        self._target = target
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
            raise OutputError(f"{self._target}: another run is writing it") from error
        except OSError as error:
            reason = error.strerror or error
            raise OutputError(f"{self._target}: cannot write there ({reason})") from error
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
        end = self.segments[-1].origin.end if self.segments else state_digest({})
        while self.is_reusable(len(self.segments), self.frames, end):
            segment = self._stored.pop(len(self.segments))
            self.reused += 1
            self.reused_frames += segment.end.frames - self.frames
            self.add(segment)
            end = segment.origin.end
        return len(self.segments) > before

    def is_reusable(self, number: int, first: int, state: str) -> bool:
        """Return whether segment NUMBER is on the disk as it would be made again.

        It begins with frame FIRST, and the one before left the state of digest STATE.
        """
        segment = self._stored.get(number)
        if segment is None or segment.origin.begin != state:
            return False
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
            self.segments[-1] = replace(self.segments[-1], state=None)
        self.segments.append(segment)

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
            beside = sorted(self._target.parent.iterdir())
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
