"""The photographs that the tests of this folder begin with."""

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from colorize.runtime.models.catalog import SAMPLES


@pytest.fixture(scope="module")
def gray() -> NDArray[np.uint8]:
    image = Image.open(SAMPLES / "test" / "cat.jpg").convert("L").resize((91, 60))
    return np.asarray(image)


@pytest.fixture(scope="module")
def cat() -> Image.Image:
    return Image.open(SAMPLES / "test" / "cat.jpg").convert("RGB").resize((90, 60))
