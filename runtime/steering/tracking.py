"""Colors carried from a reference frame along the motion, with what each of them is worth.

Each pixel knows where it was in the reference frame. Flow from frame to frame moves these places
on, and flow straight to the reference frame keeps them from drifting; of the two, the place wins
around which the reference looks more like the frame. How alike they look gives the variance of
the color read there: fitted on 854x480 sequences as c (e + 0.3)^p for the mean difference of
lightness e.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from ..color import F32, U8, gray_to_lightness
from .motion import LEAST_SIDE, Step, beyond, flow_near, pixel_grid, read, read_four

_STRAIGHT_EVERY = 3  # frames: in between places keep well enough, and more steadily
_PATCH = 5  # pixels around a place that are compared
_MOST_UNLIKE = 20.0  # L*: differences beyond tell no more
_BETTER = 0.5  # L* by which another place must look more alike
_VARIANCE, _POWER, _OFFSET = 4.0, 1.7, 0.3
_SURE_SHARE = 0.1  # of that variance, where flow was never in doubt
_DOUBTFUL = 128.0  # doubt at which the whole of it counts
_BEYOND, _MOST_BEYOND = 8.0, 400.0  # variance a pixel outside of the reference, and the most
_AGE = 0.5  # variance a frame of distance
_STEP_DOUBT, _MISS, _MISS_ALLOWED = 0.3, 8.0, 1.0
_CHANGE_ALLOWED = 3.0  # L* by which a pixel may change from frame to frame
_MOST_DOUBT = 1000.0
_LEAST_VARIANCE = 0.5
_STEADY = 0.95  # share of the frame before in a frame, where both are surely of one thing
_COLOR_TOLERANCE = 30.0  # CIELAB units
_LIGHTNESS_TOLERANCE = 15.0  # L*
_STEADY_MISS = 8.0  # square of pixels that flow may miss by: one way is measured roughly
_LEAST_EXPONENT = -60.0  # of a likeness: it is none
_TRUTH = 1e4  # weight of what a reference says of its own frame


@dataclass(frozen=True)
class Carried:
    """Colors that came to a frame from one reference."""

    ab: F32  # (h, w, 2), CIELAB
    weight: F32  # (h, w): one over the expected square of their error, in CIELAB units


@dataclass(frozen=True)
class ReferencePlanes:
    """A reference frame at the size at which colors are carried."""

    gray: U8  # (h, w), of the film's frame
    ab: F32  # (h, w, 2)
    alpha: F32  # (h, w), 0..1: 0 where the model decides


def stated(reference: ReferencePlanes) -> Carried:
    """Return what a reference says of its own frame."""
    return Carried(reference.ab, reference.alpha * np.float32(_TRUTH))


@dataclass(frozen=True)
class Move:
    """A frame as it follows on its neighbor; all of it is known before its colors are."""

    gray: U8  # (h, w)
    lightness: F32  # (h, w): its L*
    step: Step  # to the neighbor
    change: F32  # (h, w): L* of the neighbor, moved here by the step, above its own
    doubt: F32  # (h, w): what the step adds to the doubt about each pixel

    @classmethod
    def of(cls, before: U8, gray: U8, step: Step) -> "Move":
        """Return the move that STEP leads through, from the neighbor BEFORE (h, w) to GRAY."""
        lightness = gray_to_lightness(gray)
        change = read(gray_to_lightness(before), step.x, step.y) - lightness
        return cls(gray, lightness, step, change, _doubt(change, step))


class Tracker:
    """Follows frames, one by one, away from one reference, forward or backward in time."""

    def __init__(
        self,
        reference: ReferencePlanes,
        places: F32 | None = None,
        last: Carried | None = None,
        *,
        steady: bool = True,
    ) -> None:
        """Begin at the reference's frame, or with what an earlier tracker had: PLACES and LAST.

        Without STEADY colors stay as they arrive.
        """
        self.reference, self._steady = reference, steady
        self.last = last
        """The colors of the last frame, if they are held steady."""
        self._lightness = gray_to_lightness(reference.gray)
        self._read = _four(reference.ab, self._lightness, reference.alpha)
        if places is None:
            x, y = pixel_grid(reference.gray.shape)
            places = np.stack([x, y, np.zeros_like(x), np.zeros_like(x)])
        self.places = places
        """float32 (4, h, w): x and y in the reference, doubt, and the frames that went by."""

    def step(self, move: Move) -> Carried:
        """Go on to the next frame by its MOVE."""
        step, last = move.step, self.last
        x, y = self._moved(step)
        unlike = self._unlike(move.lightness, x, y)
        age = self.places[3]
        if age[0, 0] % _STRAIGHT_EVERY == 0 and min(move.gray.shape) >= LEAST_SIDE:
            x, y, unlike = self._straight(move.gray, move.lightness, x, y, unlike)
        past: Carried | None = None
        if last is None:
            doubt = read(self.places[2], step.x, step.y)
        else:
            ab, weight, doubt = read_four(
                _four(last.ab, last.weight, self.places[2]), step.x, step.y
            )
            past = Carried(ab, weight)
        doubt = np.minimum(doubt + move.doubt, np.float32(_MOST_DOUBT))
        self.places = np.stack([x, y, doubt, age + 1])
        carried = self.carried(unlike)
        if not self._steady:
            return carried
        if past is not None:
            carried = _steadied(carried, past, move)
        self.last = carried
        return carried

    def carried(self, unlike: F32) -> Carried:
        """Read the reference at the places, which look so much UNLIKE it (h, w), in L*."""
        x, y, doubt, age = self.places
        share = np.minimum(doubt * np.float32((1 - _SURE_SHARE) / _DOUBTFUL), 1 - _SURE_SHARE)
        share += np.float32(_SURE_SHARE)
        variance = np.asarray(cv2.pow(unlike + np.float32(_OFFSET), _POWER), np.float32)
        variance *= share
        variance *= np.float32(_VARIANCE)
        variance += np.clip(beyond(x, y) * np.float32(_BEYOND), 0, _MOST_BEYOND)
        variance += np.float32(_AGE * age[0, 0] + _LEAST_VARIANCE)
        ab, _, alpha = read_four(self._read, x, y)  # four are read faster than three
        return Carried(ab, alpha / variance)

    def _moved(self, step: Step) -> tuple[F32, F32]:
        """Move the places along the flow; between two things none is a mean of both."""
        column, row = np.rint(step.x), np.rint(step.y)
        mode, border = cv2.INTER_NEAREST, cv2.BORDER_REPLICATE
        x, y = (
            np.asarray(cv2.remap(plane, column, row, mode, borderMode=border), np.float32)
            for plane in self.places[:2]
        )
        return x + (step.x - column), y + (step.y - row)

    def _straight(
        self, gray: U8, lightness: F32, x: F32, y: F32, unlike: F32
    ) -> tuple[F32, F32, F32]:
        """Look for better places near X, Y by flow straight to the reference frame.

        UNLIKE is what `_unlike` says of those; all three are changed and returned.
        """
        own_x, own_y = pixel_grid(gray.shape)
        guess = np.asarray(cv2.merge([x - own_x, y - own_y]), np.float32)
        across, down = cv2.split(flow_near(gray, self.reference.gray, guess))
        other_x, other_y = own_x + across, own_y + down
        other = self._unlike(lightness, other_x, other_y)
        better = (other + np.float32(_BETTER) < unlike).view(np.uint8)
        for one, into in ((other_x, x), (other_y, y), (other, unlike)):
            cv2.copyTo(one, better, into)
        return x, y, unlike

    def _unlike(self, lightness: F32, x: F32, y: F32) -> F32:
        """Return how much L* around each pixel differs from the reference around X, Y."""
        difference = np.abs(read(self._lightness, x, y) - lightness)
        capped = np.minimum(difference, np.float32(_MOST_UNLIKE))
        return np.asarray(cv2.blur(capped, (_PATCH, _PATCH)), np.float32)


def _four(ab: F32, third: F32, fourth: F32) -> F32:
    """Return AB (h, w, 2) and two planes (h, w) as one (h, w, 4), for `read_four`."""
    planes = np.empty((*third.shape, 4), np.float32)
    sources = [np.ascontiguousarray(each) for each in (ab, third, fourth)]
    cv2.mixChannels(sources, [planes], [0, 0, 1, 1, 2, 2, 3, 3])
    return planes


def _doubt(change: F32, step: Step) -> F32:
    """Return what one step adds to the doubt about each pixel (h, w) that CHANGEs so."""
    change = np.abs(cv2.blur(change, (_PATCH, _PATCH)))
    more = np.maximum(change - _CHANGE_ALLOWED, 0)
    miss = np.maximum(step.miss - _MISS_ALLOWED, 0)
    doubt: F32 = _STEP_DOUBT + _MISS * miss + more * more + step.outside * _MOST_DOUBT
    return np.minimum(doubt, np.float32(_MOST_DOUBT))


def _steadied(fresh: Carried, past: Carried, move: Move) -> Carried:
    """Return FRESH with much of PAST, the colors of the frame before, which came here by MOVE.

    Fresh places jump by parts of a pixel from frame to frame, and so do the weights.
    """
    share = np.float32(_STEADY) * likeness(past.ab, fresh.ab, move)
    weight = fresh.weight + (past.weight - fresh.weight) * share
    return Carried(towards(fresh.ab, past.ab, share), np.asarray(weight, np.float32))


def towards(ab: F32, other: F32, share: F32) -> F32:
    """Return AB (h, w, 2) with a SHARE (h, w) of the way to OTHER."""
    way = np.asarray(cv2.subtract(other, ab), np.float32)
    way *= cv2.merge([share, share])
    way += ab
    return way


def likeness(past: F32, ab: F32, move: Move) -> F32:
    """Return 0..1 (h, w): how sure it is that PAST, moved here by MOVE, and AB are of one thing."""
    a, b = cv2.split(cv2.subtract(past, ab))  # plane by plane: NumPy is slow along axes of two
    apart = np.asarray(cv2.blur(a * a + b * b, (5, 5)), np.float32)
    apart *= np.float32(1 / _COLOR_TOLERANCE**2)
    apart *= apart
    unlike = np.asarray(cv2.blur(np.abs(move.change), (3, 3)), np.float32)
    unlike *= np.float32(1 / _LIGHTNESS_TOLERANCE)
    unlike *= unlike
    apart += unlike
    apart += np.maximum(move.step.miss - np.float32(_STEADY_MISS), 0)
    # Subnormal numbers would be several times as slow.
    exponent = np.maximum(-apart, np.float32(_LEAST_EXPONENT))
    return np.asarray(np.exp(exponent) * (1 - move.step.outside), np.float32)
