"""The clock of a container: jumps in it, as of joined recordings, are taken out.

FFmpeg's own rules, but for the step back that is still put right packet by packet.
"""

from typing import TYPE_CHECKING, Any

import av
from av.container import InputContainer, OutputContainer
from av.format import Flags

if TYPE_CHECKING:
    AnyPacket = av.Packet[Any]
else:
    AnyPacket = av.Packet  # generic in its stub alone

_SECOND = 1_000_000  # all times here are microseconds
_MOST_BACK = _SECOND  # a smaller step back is a flaw of single packets
_MOST_AHEAD = 10 * _SECOND  # in containers whose clock may jump
_MOST_AHEAD_ELSEWHERE = 30 * 3600 * _SECOND
_STEADY = ("mp4", "matroska")  # one clock a file


def is_format(container: InputContainer | OutputContainer, flag: Flags) -> bool:
    """Tell whether FFmpeg gives the format of CONTAINER the FLAG."""
    return flag in Flags(container.format.flags)


class Clock:
    """Corrects the packets of one container, in the order of the file.

    All streams keep step: what one of them jumps by, all are moved by. Where clocks may jump, the
    film begins at 0.
    """

    def __init__(self, container: InputContainer) -> None:
        self.jumps = 0
        may_jump = is_format(container, Flags.ts_discont)
        self._most_ahead = _MOST_AHEAD if may_jump else _MOST_AHEAD_ELSEWHERE
        steady = set(container.format.name.split(",")) & set(_STEADY)
        self.watched = [] if steady else [*container.streams.video, *container.streams.audio]
        """Streams whose packets must be given too, wanted or not."""
        # Such a clock need not begin at 0. Others keep what they begin with.
        self._offset = -(container.start_time or 0) if may_jump else 0
        self._last: dict[int, int] = {}  # the latest decoding time of each stream
        self._due: dict[int, int] = {}  # the next that is expected
        self._delays: dict[int, int] = {}  # from decoding to showing, in the stream's time base

    def correct(self, packet: AnyPacket) -> None:
        """Set the times of PACKET right."""
        base = packet.time_base
        if packet.dts is not None and packet.stream.type in ("video", "audio"):
            index, time = packet.stream.index, int(packet.dts * base * _SECOND) + self._offset
            if index in self._due:
                behind, ahead = self._last[index] - time, time - self._due[index]
                if behind > _MOST_BACK or ahead > self._most_ahead:
                    self._offset -= ahead
                    time -= ahead
                    self.jumps += 1
            if packet.pts is not None:
                delay = packet.pts - packet.dts
                if abs(delay * base * _SECOND) > self._most_ahead:  # across the jump
                    packet.pts = packet.dts + self._delays.get(index, 0)
                else:
                    self._delays[index] = delay
            self._last[index] = time
            self._due[index] = time + int((packet.duration or 0) * base * _SECOND)
        if self._offset:
            ticks = round(self._offset / _SECOND / base)
            if packet.dts is not None:
                packet.dts += ticks
            if packet.pts is not None:
                packet.pts += ticks
