"""One engine for several settings: `Colorizer.adjusted`."""

import numpy as np
import pytest

from colorize.runtime.colorizer import Colorizer
from colorize.runtime.errors import ArgumentError

GRAY = np.tile(np.arange(0, 240, 2, dtype=np.uint8), (90, 1))


def test_adjusted_colors_as_a_new_one_would(colorizer: Colorizer) -> None:
    other = colorizer.adjusted(size=32, saturation=0.5, refine=True)
    assert other.engine is colorizer.engine
    model = colorizer.engine.model
    with Colorizer(
        model, backend="openvino", precision="fp32", size=32, saturation=0.5, refine=True
    ) as fresh:
        np.testing.assert_array_equal(other.image(GRAY), fresh.image(GRAY))
    assert not np.array_equal(other.image(GRAY), colorizer.image(GRAY))
    assert (colorizer.size, colorizer.saturation, colorizer.refine) == (64, 1.0, False)


def test_the_engine_outlives_what_shares_it(colorizer: Colorizer) -> None:
    with colorizer.adjusted(saturation=0) as gray:
        pixels = gray.image(GRAY)
    assert np.ptp(pixels, axis=2).max() == 0
    assert np.ptp(colorizer.image(GRAY), axis=2).max() > 10


def test_nothing_adjusted_is_the_models_own_size(colorizer: Colorizer) -> None:
    twice = colorizer.adjusted(size=32, saturation=2, refine=True).adjusted()
    assert (twice.size, twice.saturation, twice.refine) == (64, 2, True)


@pytest.mark.parametrize("wrong", [{"size": 7}, {"size": 9999}, {"saturation": -1}])
def test_settings_out_of_range_are_refused(colorizer: Colorizer, wrong: dict[str, int]) -> None:
    with pytest.raises(ArgumentError, match="it must lie in"):
        colorizer.adjusted(**wrong)  # type: ignore[arg-type]  # one of its numbers
