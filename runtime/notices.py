"""What the user should hear while work goes on: one channel for memory, videos and photographs."""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

Severity = Literal["info", "warning"]
"""warning: the result has less than the source has or the settings asked for."""

Topic = Literal["memory", "resume", "source", "output", "speed"]
"""memory: less was tried; source: what was wrong with it; output: what is not as in the source."""


@dataclass(frozen=True)
class Notice:
    """One thing to tell; as a string it is the line for the user."""

    message: str
    topic: Topic
    severity: Severity = "info"
    source: str | None = None  # the file that it is about
    frame: int | None = None  # of a video, counted from 0
    time: float | None = None  # of that frame, in seconds
    figures: Mapping[str, float] | None = None  # what the message says in numbers, for programs

    def __str__(self) -> str:
        return self.message if self.source is None else f"{self.source}: {self.message}"


OnNotice = Callable[[Notice], None]
"""Called with each notice when it arises, in whatever thread that happens."""


def warn(notice: Notice) -> None:
    """Make a Python warning of a notice of severity warning; ignore the others."""
    if notice.severity == "warning":
        warnings.warn(str(notice), RuntimeWarning, stacklevel=2)


class NoticeLog:
    """Passes on the notices about one file, and keeps them for a report."""

    def __init__(self, source: str, on_notice: OnNotice) -> None:
        self.notices: list[Notice] = []
        self._source, self._on_notice = source, on_notice

    def __call__(self, notice: Notice) -> None:
        """Keep NOTICE, which is about this file, and pass it on."""
        notice = replace(notice, source=self._source)
        self.notices.append(notice)
        self._on_notice(notice)
