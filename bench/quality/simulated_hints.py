"""The hints that a user would give who knows the truth: a few patches in its colors."""

import numpy as np

from ...runtime.color import U8, lab_to_rgb, rgb_to_lab, to_codes
from ...runtime.steering.hints import Hints
from ...train.data.hints import fixed_patches


def hints_of_truth(truth: U8, count: int, seed: int) -> Hints | None:
    """Return COUNT hints, 7 of 256 pixels wide, in the mean colors of TRUTH (H, W, 3) there.

    The same SEED gives the same places. None without hints.
    """
    if count == 0:
        return None
    lab = rgb_to_lab(truth)
    ab = np.ascontiguousarray(lab[..., 1:].transpose(2, 0, 1))
    planes = fixed_patches(count)(ab, np.random.default_rng(seed))
    rgb = lab_to_rgb(np.dstack([lab[..., 0], planes[0], planes[1]]))
    codes = to_codes(np.dstack([rgb, planes[2]]), np.dtype(np.uint16))  # 8 bits would round them
    return Hints.overlay(codes)
