"""Finished parts of a video in a folder beside it, from which a stopped run is resumed.

A segment is two files: NNNNN.packets, the encoded frames one after another, and NNNNN.npz, their
times and sizes and the state in which the next segment begins. The .npz file is written last and
appears whole, so a segment that has one is complete.
"""

import hashlib
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from ..files import whole_file
from .frames import FrameLayout
from .picture import Flaws, Position
from .protocols import State

FORMAT = 6
"""Of the files of a segment; another one makes another identity."""
_STATE = "state "  # begins the names of a state's arrays


def state_digest(state: State) -> str:
    """Return the SHA-256 of a state."""
    digest = hashlib.sha256()
    for name in sorted(state):
        digest.update(f"{name} {state[name].dtype} {state[name].shape} ".encode())
        digest.update(np.ascontiguousarray(state[name]).data)
    return digest.hexdigest()


@dataclass(frozen=True, kw_only=True)
class Seam:
    """What comes before a segment; the default is the beginning of the film."""

    number: int = 0  # of the segment
    position: Position | None = None  # of the frame before its first
    state: str = state_digest({})  # digest of what is remembered there
    interlaced: bool = False  # whether the frames before are stored as fields

    @property
    def frames(self) -> int:
        """How many frames come before."""
        return self.position.frames if self.position else 0

    def is_same(self, other: "Seam") -> bool:
        """Tell whether what follows both is the same."""
        mine, theirs = self.position, other.position
        same = (mine is theirs) if mine is None or theirs is None else mine.is_same(theirs)
        return same and (self.number, self.state, self.interlaced) == (
            other.number,
            other.state,
            other.interlaced,
        )


@dataclass(frozen=True)
class Origin:
    """What the frames of a segment depend on, beside the identity of the video."""

    after: Seam
    end: str  # digest of the state after its last frame
    cuts: tuple[int, ...]  # those of its frames that begin scenes
    references: Mapping[int, str]  # all that there were: what tells their content, by frame


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
        before = origin["after"]
        after = Seam(**{**before, "position": _position(before["position"])})
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
            origin=Origin(
                after=after, end=origin["end"], cuts=tuple(origin["cuts"]), references=known
            ),
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


def after(segment: Segment, number: int) -> Seam:
    """Return the seam after SEGMENT, which segment NUMBER follows."""
    return Seam(
        number=number,
        position=segment.end,
        state=segment.origin.end,
        interlaced=segment.interlaced,
    )


def _position(fields: dict[str, Any] | None) -> Position | None:
    if fields is None:
        return None
    return Position(**{**fields, "flaws": Flaws(**_tuples(fields["flaws"]))})


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
