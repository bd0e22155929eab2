"""What was wrong with a video that was read all the same."""

from dataclasses import dataclass, replace

from ..notices import Notice


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
