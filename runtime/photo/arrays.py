"""Photographs that come as arrays."""

from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..color import Depth
from ..errors import ArgumentError
from .photo import Photo

Hint = TypeVar("Hint")


def as_photo(rgb: object) -> Photo:
    """Return sRGB (H, W, 3) or gray (H, W) as a photograph; ArgumentError if it is neither."""
    if (
        not isinstance(rgb, np.ndarray)
        or not rgb.size
        or rgb.dtype not in (np.uint8, np.uint16)
        or rgb.ndim not in (2, 3)
        or rgb.shape[2:] not in ((), (3,))
    ):
        shown = f"{rgb.dtype} {rgb.shape}" if isinstance(rgb, np.ndarray) else repr(rgb)
        raise ArgumentError(
            f"a picture is {shown}; give uint8 or uint16 of shape (H, W, 3) or (H, W)"
        )
    return Photo(np.dstack([rgb] * 3) if rgb.ndim == 2 else rgb)


def paired(
    pictures: Iterable[NDArray[Depth]], hints: Iterable[Hint | None] | None
) -> Iterator[tuple[NDArray[Depth], Hint | None]]:
    """Yield each of PICTURES with its own of HINTS; ArgumentError if they are not as many."""
    if hints is None:
        for picture in pictures:
            yield picture, None
        return
    given = iter(hints)
    for picture in pictures:
        try:
            each = next(given)
        except StopIteration:
            raise ArgumentError("fewer hints than pictures; give None for no hints") from None
        yield picture, each
    for _ in given:
        raise ArgumentError("more hints than pictures")


def pixels_of(rgb: NDArray[Any]) -> int:
    """Return the number of pixels of (H, W, ...)."""
    return int(np.prod(np.shape(rgb)[:2]))
