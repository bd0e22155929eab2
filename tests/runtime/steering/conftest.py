"""The film that its references color, for several test files."""

from pathlib import Path

import pytest
from helpers.references import LENGTHS, give
from helpers.scenes import scene, write_film

from colorize.runtime.color import U8


@pytest.fixture(scope="module")
def truth() -> list[U8]:
    signs = (1.0, -1.0, 1.0)
    return [
        rgb
        for seed, (length, sign) in enumerate(zip(LENGTHS, signs, strict=True))
        for rgb in scene(seed, length, sign)
    ]


@pytest.fixture(scope="module")
def film(truth: list[U8], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_film(tmp_path_factory.mktemp("film") / "film.mkv", truth)


@pytest.fixture(scope="module")
def given(truth: list[U8], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return give(tmp_path_factory.mktemp("given"), truth, 3, 17, 24, 45)
