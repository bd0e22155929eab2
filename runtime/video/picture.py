"""Frames as they are decoded, what was wrong with them, and how one is found again."""

import hashlib
from dataclasses import dataclass, fields, replace

import av

from ..notices import Notice
from .frames import FrameLayout, Plane


@dataclass(frozen=True)
class Flaws:
    """What was wrong with a video up to some frame, and was bridged."""

    damaged: int = 0  # packets that could not be decoded
    repeated: int = 0  # frames lost in them, in whose place the one before is repeated
    repaired: int = 0  # frames with damage inside, which the decoder filled
    misdated: int = 0  # frames whose time was not after the one before
    rescaled: int = 0  # frames of another size or format than the first
    jumps: int = 0  # of the clock, taken out of picture and sound
    carried: tuple[str, ...] = ()  # what frames carried beside their picture; no flaw in itself

    @property
    def in_frames(self) -> int:
        """How many frames may decode otherwise another time."""
        return self.damaged + self.repeated + self.repaired

    def rebased(self, counted: "Flaws", known: "Flaws") -> "Flaws":
        """Return them with KNOWN flaws before the place where COUNTED ones were taken for known."""
        carried = tuple(sorted({*known.carried, *self.carried}))
        if counted == known:
            return replace(self, carried=carried)
        sums = {
            each.name: getattr(self, each.name)
            + getattr(known, each.name)
            - getattr(counted, each.name)
            for each in fields(self)
            if each.name != "carried"
        }
        return Flaws(**sums, carried=carried)

    @property
    def any(self) -> bool:
        """Whether there was one."""
        return replace(self, carried=()) != Flaws()

    @property
    def notices(self) -> list[Notice]:
        """They, for the user."""
        said = []
        if self.damaged:
            said.append(
                f"{self.damaged} damaged packets were skipped; "
                f"{self.repeated} frames lost with them repeat the one before"
            )
        if self.repaired:
            said.append(f"{self.repaired} frames had damage inside that the decoder filled")
        if self.misdated:
            said.append(f"{self.misdated} frames had times out of order, which were corrected")
        if self.rescaled:
            said.append(f"{self.rescaled} frames of another size were scaled to that of the first")
        if self.jumps:
            said.append(f"its clock jumps, {self.jumps} times in all; the jumps were taken out")
        return [Notice(message, topic="source", severity="warning") for message in said]


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A decoded frame on its way."""

    luma: Plane  # (H, W), code values
    pts: int  # in the source's time base
    duration: int  # the same; 0 if the source does not tell
    interlaced: bool
    layout: FrameLayout
    flaws: Flaws
    top_first: bool = True  # of the two fields of an interlaced frame
    carrier: av.VideoFrame | None = None  # with the marks and the side data that encoders take


@dataclass(frozen=True, kw_only=True)
class Position:
    """A frame in the film, by its place, time and content: where an earlier run had come to."""

    frames: int  # up to and with this one
    pts: int
    luma_sha256: str  # "": unknown: its time alone tells it
    flaws: Flaws

    def is_same(self, other: "Position") -> bool:
        """Tell whether the frames after both are the same, as far as their own place tells."""
        if (self.frames, self.pts) != (other.frames, other.pts):
            return False
        # Damage is not filled with the same pixels in every run.
        damaged = self.flaws.in_frames or other.flaws.in_frames
        alike = [
            (flaws.misdated, flaws.rescaled, flaws.jumps) for flaws in (self.flaws, other.flaws)
        ]
        return alike[0] == alike[1] and bool(damaged or self.luma_sha256 == other.luma_sha256)

    @classmethod
    def of(cls, frames: int, picture: Picture) -> "Position":
        """Return the position of PICTURE, the film's FRAMES-th."""
        return cls(
            frames=frames,
            pts=picture.pts,
            luma_sha256=luma_hash(picture.luma),
            flaws=picture.flaws,
        )


def luma_hash(luma: Plane) -> str:
    """Return the SHA-256 of a luma plane."""
    return hashlib.sha256(luma.tobytes()).hexdigest()
