"""The network for the frames of one video."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ..color import F32, U8
from ..notices import Notice, OnNotice
from .memory_fallback import MemoryFallback

if TYPE_CHECKING:
    from ..video.protocols import Batch


class VideoNetwork:
    """The network for the frames of one video; where memory runs out, it stays smaller."""

    def __init__(
        self, shrink: Callable[[Sequence[U8]], U8], fallback: MemoryFallback, source: str
    ) -> None:
        """SHRINK is a Colorizer's; SOURCE is named in notices."""
        self._shrink, self._fallback, self._source = shrink, fallback, source
        self.halvings = 0  # of the working size

    def shrink(self, grays: Sequence[U8]) -> U8:
        """Return GRAYS as the network sees them."""
        return self._shrink(grays)

    def infer(self, batch: "Batch", hints: F32 | None, tell: OnNotice) -> F32:
        """Return ab (N, h, w, 2) for BATCH."""
        about = Notice(
            f"from frame {batch.first} on",
            topic="memory",
            severity="warning",
            source=self._source,
            frame=batch.first,
            time=batch.time,
        )
        ab, self.halvings = self._fallback.infer(batch.small, self.halvings, about, tell, hints)
        return ab
