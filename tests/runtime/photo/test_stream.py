"""Many photographs at once: in order, in batches, in bounded memory, each failing alone."""

import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from colorize.runtime.color import F32, U8
from colorize.runtime.colorizer import Colorizer
from colorize.runtime.errors import ArgumentError, EngineError
from colorize.runtime.photo import stream as photo_stream
from colorize.runtime.photo.photo import Photo
from colorize.runtime.photo.reader import read_photo

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def pictures(photo: Path) -> list[U8]:
    """Forty different parts of a photograph: lying, upright, square, tiny, in turns."""
    rgb = read_photo(photo).rgb
    shapes = [(60, 90), (90, 60), (64, 64), (61, 92), (1, 1)]
    parts = [(shapes[i % 5], 3 * i) for i in range(40)]
    return [rgb[y : y + shape[0], y : y + shape[1]] for shape, y in parts]


def _batches(colorizer: Colorizer, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that will hold how many pictures each question to the network has."""
    asked: list[int] = []
    chroma = colorizer.chroma

    def counted(grays: Sequence[U8]) -> list[tuple[F32, F32]]:
        asked.append(len(grays))
        return chroma(grays)

    monkeypatch.setattr(colorizer, "chroma", counted)
    return asked


def test_streamed_pictures_are_those_of_one_by_one(
    colorizer: Colorizer, pictures: list[U8]
) -> None:
    streamed = list(colorizer.images(pictures))
    assert len(streamed) == len(pictures)
    for result, picture in zip(streamed, pictures, strict=True):
        alone = colorizer.image(picture)
        assert result.dtype == alone.dtype
        assert np.abs(result.astype(int) - alone).max() <= 1


def test_pictures_of_one_working_shape_share_batches(
    colorizer: Colorizer, pictures: list[U8], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = _batches(colorizer, monkeypatch)
    list(colorizer.images(pictures))
    assert sum(asked) == len(pictures)
    assert max(asked) >= colorizer.engine.best_batch
    assert len(asked) < len(pictures) / 3


@pytest.mark.parametrize("count", [1, 3, 9])
def test_a_few_photographs_share_all_threads_and_look_the_same(
    colorizer: Colorizer, photo: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 6)
    picture = np.tile(read_photo(photo).rgb, (3, 3, 1))[:700, :900]  # some strips
    used, join = list[int](), colorizer.join

    def counted(photo: Photo, answer: Any, threads: int = 1) -> Photo:
        used.append(threads)
        return join(photo, answer, threads)

    monkeypatch.setattr(colorizer, "join", counted)
    streamed = list(colorizer.images([picture] * count))
    assert used == [max(1, 6 // count)] * count
    alone = join(Photo(picture), colorizer.answers([Photo(picture).gray()], [None])[0])
    assert all(np.array_equal(each, alone.codes) for each in streamed)
    assert np.array_equal(Photo(picture).gray(5), Photo(picture).gray())


@pytest.mark.parametrize(("given", "used"), [(None, 6), (2, 2), (50, 6)])
def test_a_photograph_alone_has_the_threads_of_a_stream_and_looks_the_same(
    tiny_model: Path,
    colorizer: Colorizer,
    photo: Path,
    monkeypatch: pytest.MonkeyPatch,
    given: int | None,
    used: int,
) -> None:
    picture = Photo(np.tile(read_photo(photo).rgb, (3, 3, 1))[:700, :900])  # some strips
    asked, gray = list[int](), Photo.gray

    def counted(photo: Photo, threads: int = 1) -> U8:
        asked.append(threads)
        return gray(photo, threads)

    [answer] = colorizer.answers([picture.gray()], [None])
    plain = colorizer.join(picture, answer)
    monkeypatch.setattr("os.cpu_count", lambda: 6)
    monkeypatch.setattr(Photo, "gray", counted)
    with Colorizer(tiny_model, backend="openvino", precision="fp32", threads=given) as own:
        join = own.join

        def joined(photo: Photo, answer: Any, threads: int = 1) -> Photo:
            asked.append(threads)
            return join(photo, answer, threads)

        monkeypatch.setattr(own, "join", joined)
        assert np.array_equal(own.photo(picture).codes, plain.codes)
    assert asked == [used, used]


def test_depths_and_grays_may_be_mixed(colorizer: Colorizer, pictures: list[U8]) -> None:
    deep = pictures[0].astype(np.uint16) * 257
    mixed: list[NDArray[Any]] = [pictures[0], deep, pictures[1][..., 0]]
    results = list(colorizer.images(mixed))
    assert [result.dtype for result in results] == [np.uint8, np.uint16, np.uint8]
    assert [result.shape for result in results] == [(60, 90, 3), (60, 90, 3), (90, 60, 3)]


def test_no_more_is_taken_than_the_bounds_allow(
    colorizer: Colorizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[int] = []

    def source() -> Iterator[U8]:
        for index in range(200):
            taken.append(index)
            yield np.full((60, 90), index, np.uint8)

    monkeypatch.setattr(photo_stream, "MAX_PIXELS_AHEAD", 20 * 60 * 90)
    for done, _ in enumerate(colorizer.images(source())):
        assert len(taken) - done <= 20 + 1  # the next one is looked at
    assert len(taken) == 200


def test_a_picture_above_the_bound_is_held_alone(
    colorizer: Colorizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, most = 0, 0
    lock = threading.Lock()

    def read(size: int) -> Photo:
        nonlocal held, most
        with lock:
            held += size
            most = max(most, held)
        return _photo(np.zeros((size, 1), np.uint8))

    def finish(size: int, _: object) -> int:
        nonlocal held
        with lock:
            held -= size
        return size

    monkeypatch.setattr(photo_stream, "MAX_PIXELS_AHEAD", 100)
    sizes = [10, 150, 10, 40, 40, 150, 150, *[30] * 20]
    steps = photo_stream.Steps[int, int](lambda size: size, read, finish)
    results = photo_stream.stream(colorizer, sizes, steps)
    assert [result.result() for _, result in results] == sizes
    assert most == 150


def test_bad_pictures_raise_in_their_place(colorizer: Colorizer, pictures: list[U8]) -> None:
    results = colorizer.images([pictures[0], pictures[1], np.zeros((4, 4, 4), np.uint8)])
    assert next(results).shape == (60, 90, 3)
    assert next(results).shape == (90, 60, 3)
    with pytest.raises(ArgumentError, match="uint8"):
        next(results)


def test_errors_of_the_iterable_come_after_the_pictures_before_them(
    colorizer: Colorizer, pictures: list[U8]
) -> None:
    def source() -> Iterator[U8]:
        yield from pictures[:3]
        raise FileNotFoundError("the fourth")

    results = colorizer.images(source())
    assert [next(results).shape for _ in range(3)] == [picture.shape for picture in pictures[:3]]
    with pytest.raises(FileNotFoundError, match="the fourth"):
        next(results)


def test_a_batch_that_fails_is_tried_one_by_one(
    colorizer: Colorizer, pictures: list[U8], monkeypatch: pytest.MonkeyPatch
) -> None:
    chroma = colorizer.chroma

    def picky(grays: Sequence[U8]) -> list[tuple[F32, F32]]:
        if any(gray.shape == (64, 64) and gray[0, 0] == 77 for gray in grays):
            raise EngineError("not this one")
        return chroma(grays)

    monkeypatch.setattr(colorizer, "chroma", picky)
    square = [np.full((64, 64), value, np.uint8) for value in (10, 77, 200)]
    steps = photo_stream.Steps[U8, U8](np.size, _photo, lambda gray, _: gray)
    outcomes = [result.exception() for _, result in photo_stream.stream(colorizer, square, steps)]
    assert [str(outcome) for outcome in outcomes] == ["None", "not this one", "None"]


def _photo(gray: U8) -> Photo:
    return Photo(np.dstack([gray] * 3))


def test_closing_early_ends_the_threads(colorizer: Colorizer, pictures: list[U8]) -> None:
    before = set(threading.enumerate())
    results = colorizer.images(pictures)
    next(results)
    results.close()
    assert set(threading.enumerate()) <= before


def test_one_picture_in_place_of_many_is_refused(colorizer: Colorizer, pictures: list[U8]) -> None:
    with pytest.raises(ArgumentError, match="give it to image"):
        next(colorizer.images(pictures[0]))
    stack = np.stack([pictures[0], pictures[5]])
    assert [result.shape for result in colorizer.images(stack)] == [(60, 90, 3)] * 2


def test_closing_a_colorizer_twice_does_no_harm(tiny_model: Path) -> None:
    with Colorizer(tiny_model, backend="openvino") as colorizer:
        colorizer.close()


def test_an_unknown_precision_is_refused(tiny_model: Path) -> None:
    with pytest.raises(ArgumentError, match="precision is 'fp7'"):
        Colorizer(tiny_model, precision="fp7")  # type: ignore[arg-type]  # as from a notebook


def test_nothing_gives_nothing(colorizer: Colorizer) -> None:
    assert list(colorizer.images([])) == []


@pytest.fixture
def album(tmp_path: Path, pictures: list[U8], small_video: Path) -> Path:
    """Photographs 00.png to 19.png, film.mp4 among them, and cut.png."""
    folder = tmp_path / "album"
    folder.mkdir()
    for index, picture in enumerate(pictures[:20]):
        Image.fromarray(picture).save(folder / f"{index:02}.png")
    shutil.copy(small_video, folder / "10_film.mp4")
    (folder / "05_cut.png").write_bytes((folder / "05.png").read_bytes()[:200])
    return folder


def test_a_folder_comes_in_order_with_films_and_failures_among_it(
    album: Path, colorize_run: Run, colorizer: Colorizer
) -> None:
    run = colorize_run(album, "--precision", "fp32")
    assert run.returncode == 3
    assert "1 of 22 files failed" in run.stderr
    assert f"{album / '05_cut.png'}: damaged or truncated" in run.stderr
    names = [Path(line).name for line in run.stdout.splitlines()]
    assert len(names) == 21
    assert names == sorted(names)
    assert "10_film_colorized.mp4" in names
    for source in album.glob("??.png"):
        with Image.open(album / f"{source.stem}_colorized.png") as result:
            alone = colorizer.image(read_photo(source).rgb)
            assert np.abs(np.asarray(result).astype(int) - alone).max() <= 1


def test_existing_results_are_refused_one_by_one(album: Path, colorize_run: Run) -> None:
    (album / "03_colorized.png").write_text("precious")
    run = colorize_run(album)
    assert run.returncode == 3
    assert "03_colorized.png: exists; give --overwrite" in run.stderr
    assert (album / "03_colorized.png").read_text() == "precious"
    assert (album / "04_colorized.png").is_file()
