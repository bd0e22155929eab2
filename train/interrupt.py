"""Ctrl-C and SIGTERM end a training at the end of a step, so that it can be saved first."""

import signal
from contextlib import suppress
from types import FrameType
from typing import Self


class Interrupt:
    """While entered, notes the first signal in `requested`; a second one stops at once."""

    _SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self) -> None:
        self.requested = False
        self._before: dict[signal.Signals, signal._HANDLER] = {}

    def __enter__(self) -> Self:
        with suppress(ValueError):  # only the main thread may set handlers, and it gets the signals
            self._before = {number: signal.signal(number, self._note) for number in self._SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
