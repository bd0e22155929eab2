"""Colors the frames of a video by its references: what is carried, with the model's answer."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..color import F32, U8, gray_to_lightness
from ..resize import enlarge
from ..video.picture import Picture
from ..video.protocols import State
from .blending import blend, merged
from .lookahead import Outlook, Past
from .motion import Step, read
from .tracking import Carried, Move, ReferencePlanes, Tracker, likeness, stated, towards

# Share of the frame before in a frame, where both are surely of one thing. Less before a later
# reference: what comes from it grows surer with every frame and must not come late.
_STEADY, _STEADY_BEFORE = 0.9, 0.7
_FAIR_WEIGHT = 0.05  # of carried colors that a new reference leaves as they are, to become its own


class Carrier:
    """Follows one video from frame to frame.

    `state` is all that it remembers after a frame; one that is given it goes on from there.
    """

    def __init__(
        self,
        outlooks: Iterator[Callable[[], Outlook]],
        state: State,
        cancel: Callable[[], None] = lambda: None,
        watch: Callable[[Iterable[Picture]], Iterable[Picture]] = lambda pictures: pictures,
        *,
        first: int = 0,
        steady: bool = True,
    ) -> None:
        """OUTLOOKS begin with the frame after the one of STATE, which is empty at the first.

        FIRST is the frame that begins a run. CANCEL stops what makes them; WATCH passes the
        decoded pictures on, and lets the lookahead see them. Without STEADY colors stay as they
        arrive.
        """
        self.first = first
        self._steady = steady
        self._ab: F32 | None = state.get("shown_ab")
        self.cancel, self.watch = cancel, watch
        self._outlooks = outlooks
        self._outlook: Outlook | None = None
        self._gray: U8 | None = state.get("gray")
        self._scene: U8 | None = state.get("scene")
        self._tracker: Tracker | None = None
        if "places" in state:
            planes = state["reference_gray"], state["reference_ab"], state["reference_alpha"]
            gray, ab, alpha = planes
            reference = ReferencePlanes(gray=gray, ab=ab, alpha=alpha)
            last = None
            if "carried_ab" in state:
                last = Carried(state["carried_ab"], state["carried_weight"])
            self._tracker = Tracker(reference, state["places"], last, steady=steady)

    @staticmethod
    def past(state: State) -> Past:
        """Return what a lookahead must know that begins after STATE."""
        return Past(gray=state.get("gray"), scene=state.get("scene"))

    @property
    def state(self) -> dict[str, NDArray[Any]]:
        """What it remembers, by names of its own."""
        arrays: dict[str, NDArray[Any] | None] = {
            "gray": self._gray,
            "scene": self._scene,
            "shown_ab": self._ab,
        }
        if self._tracker is not None:
            reference = self._tracker.reference
            arrays |= {
                "places": self._tracker.places,
                "reference_gray": reference.gray,
                "reference_ab": reference.ab,
                "reference_alpha": reference.alpha,
            }
            if (last := self._tracker.last) is not None:
                arrays |= {"carried_ab": last.ab, "carried_weight": last.weight}
        return {name: array for name, array in arrays.items() if array is not None}

    def begins_scene(self, gray: U8) -> bool:  # noqa: ARG002  # the lookahead has seen it
        """Go on to the next frame, a gray (H, W); return whether a scene begins with it."""
        self._outlook = next(self._outlooks)()
        return self._outlook.begins_scene

    def places(self, shape: tuple[int, int]) -> tuple[F32, F32] | None:
        """Return x and y (h, w) in the frame before, for pixels of SHAPE.

        None where no reference reaches: there everything is as without references.
        """
        outlook = self._outlook
        if outlook is None or outlook.motion is None:
            return None
        reached = self._tracker is not None or outlook.later is not None
        return outlook.motion.places(shape) if reached else None

    def colors(self, lightness: F32, ab: F32) -> tuple[F32, F32]:
        """Return L* (h, w) and ab (h, w, 2) of that frame, for its working L* and the model's ab.

        Where no reference reaches it, they are those that were given.
        """
        outlook = self._outlook
        if outlook is None:
            raise RuntimeError("colors() follows begins_scene()")
        move = self._move(outlook)
        carried = self._carried(outlook, move)
        self._gray, self._scene = outlook.gray, outlook.scene
        if not carried:
            self._ab = None
            return lightness, ab
        own = gray_to_lightness(outlook.gray) if move is None else move.lightness
        blended = blend(own, enlarge(ab, (own.shape[0], own.shape[1])), carried)
        self._ab = self._steadied(outlook, move, blended) if self._steady else None
        return own, blended if self._ab is None else self._ab

    def _move(self, outlook: Outlook) -> Move | None:
        """Return the move to this frame; None where a scene begins, or no colors are carried."""
        if self._gray is None or outlook.motion is None:
            return None
        if self._tracker is None and self._ab is None:
            return None
        shape = (outlook.gray.shape[0], outlook.gray.shape[1])
        return Move.of(self._gray, outlook.gray, Step.of(outlook.motion, shape, forward=True))

    def _steadied(self, outlook: Outlook, move: Move | None, ab: F32) -> F32:
        """Return AB with much of the frame before: what the model adds still jumps."""
        if self._ab is None or move is None:
            return ab
        past = read(self._ab, move.step.x, move.step.y)
        steady = np.float32(_STEADY if outlook.later is None else _STEADY_BEFORE)
        share = steady * likeness(past, ab, move)
        if outlook.reference is not None:
            share = share * (1 - outlook.reference.alpha)
        return towards(ab, past, np.asarray(share, np.float32))

    def _carried(self, outlook: Outlook, move: Move | None) -> list[Carried]:
        known = list[Carried]()
        if outlook.begins_scene:
            self._tracker = None
        if self._tracker is not None and move is not None:
            known.append(self._tracker.step(move))
        if outlook.reference is not None:
            self._tracker = Tracker(_over(outlook.reference, known), steady=self._steady)
            known.append(stated(outlook.reference))
        if outlook.later is not None:
            known.append(outlook.later)
        return known


def _over(reference: ReferencePlanes, known: list[Carried]) -> ReferencePlanes:
    """Lay REFERENCE over what was carried to its frame: where it is transparent, that lives on."""
    if not known or reference.alpha.min() >= 1:
        return reference
    before = merged(known)
    rest = (1 - reference.alpha) * np.minimum(before.weight / np.float32(_FAIR_WEIGHT), 1)
    alpha = reference.alpha + rest
    share = (reference.alpha / np.maximum(alpha, np.float32(1e-6)))[..., None]
    ab = before.ab + (reference.ab - before.ab) * share
    return ReferencePlanes(gray=reference.gray, ab=ab, alpha=alpha)
