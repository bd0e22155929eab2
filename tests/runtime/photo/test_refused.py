"""Photographs that are damaged, too large or no photographs, and targets that nothing can write."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from colorize.runtime.errors import InputError, OutputError
from colorize.runtime.photo import reader
from colorize.runtime.photo.photo import Photo
from colorize.runtime.photo.reader import is_photo, read_photo
from colorize.runtime.photo.writer import format_of, write_photo


@pytest.mark.parametrize("form", ["PNG", "TIFF", "WEBP", "BMP", "GIF"])
def test_pictures_are_known_by_their_content(form: str, cat: Image.Image, tmp_path: Path) -> None:
    source = tmp_path / "in.jpg"
    cat.save(source, form)
    assert is_photo(source)
    assert read_photo(source).rgb.shape == (60, 90, 3)


@pytest.mark.parametrize("name", ["in.jpg", "in.png", "in.tif"])
def test_text_is_no_picture(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("This is a letter.\n" * 30)
    assert not is_photo(tmp_path / name)
    with pytest.raises(InputError, match="not a picture"):
        read_photo(tmp_path / name)


def test_films_and_empty_files_are_no_pictures(clip: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").touch()
    assert not is_photo(clip)
    assert not is_photo(tmp_path / "empty.jpg")


def test_a_missing_picture_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_photo(tmp_path / "none.jpg")


@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp", ".jp2", ".gif"])
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_cut_pictures_are_refused(
    suffix: str, share: float, cat: Image.Image, tmp_path: Path
) -> None:
    source = tmp_path / f"in{suffix}"
    cat.save(source)
    data = source.read_bytes()
    source.write_bytes(data[: int(len(data) * share)])
    assert is_photo(source)
    with pytest.raises(InputError, match="damaged or truncated") as raised:
        read_photo(source)
    assert str(raised.value).startswith(str(source))


def test_damaged_avif_is_refused(cat: Image.Image, tmp_path: Path) -> None:
    source = tmp_path / "in.avif"
    cat.save(source)
    data = bytearray(source.read_bytes())
    pixels = data.index(b"mdat") + 4
    data[pixels:] = bytes(len(data) - pixels)
    source.write_bytes(data)
    with pytest.raises(InputError, match="damaged or truncated"):
        read_photo(source)


def _claim(width: int, height: int) -> bytes:
    """Return a PNG file that says it has this size, and no pixels."""

    def chunk(name: bytes, data: bytes) -> bytes:
        checksum = zlib.crc32(name + data)
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", checksum)

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    chunks = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(b"")), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def test_pictures_above_the_limit_are_refused(cat: Image.Image, tmp_path: Path) -> None:
    cat.save(tmp_path / "in.png")
    read_photo(tmp_path / "in.png", max_pixels=90 * 60)
    with pytest.raises(InputError, match="90x60 is above"):
        read_photo(tmp_path / "in.png", max_pixels=90 * 60 - 1)


def test_huge_pictures_are_refused_for_their_size(tmp_path: Path) -> None:
    (tmp_path / "in.png").write_bytes(_claim(20_000, 20_000))
    with pytest.raises(InputError, match="20000x20000 is above 250 megapixels"):
        read_photo(tmp_path / "in.png")


def test_only_our_own_limit_counts(
    cat: Image.Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cat.save(tmp_path / "in.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    read_photo(tmp_path / "in.png")


@pytest.mark.parametrize("suffix", [".xyz", "", ".mp4", ".txt"])
def test_unwritable_formats_are_refused(suffix: str, cat: Image.Image, tmp_path: Path) -> None:
    assert format_of(suffix) is None
    with pytest.raises(OutputError, match="cannot write"):
        write_photo(tmp_path / f"out{suffix}", Photo(np.asarray(cat)))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("suffix", "width"), [(".avif", 65_537), (".gif", 65_536)])
def test_pictures_too_wide_for_their_format_are_refused(
    suffix: str, width: int, tmp_path: Path
) -> None:
    wide = Photo(np.zeros((1, width, 3), np.uint8))
    with pytest.raises(OutputError, match="cannot hold it"):
        write_photo(tmp_path / f"wide{suffix}", wide)
    assert list(tmp_path.iterdir()) == []


def test_a_bug_of_ours_is_no_damaged_picture(photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nets are for the libraries alone: a TypeError of our own must be seen as what it is."""

    def buggy(*_: object) -> None:
        raise TypeError("our own mistake")

    for name in ("_samples", "_profiled", "_tags", "jpeg_quality"):
        with monkeypatch.context() as patch:
            patch.setattr(reader, name, buggy)
            with pytest.raises(TypeError, match="our own mistake"):
                read_photo(photo)


def test_what_a_library_raises_is_a_damaged_picture(
    photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: object) -> None:
        raise TypeError("a strange file")

    monkeypatch.setattr("PIL.JpegImagePlugin.JpegImageFile.load", refuse)
    with pytest.raises(InputError, match=r"damaged or truncated picture \(a strange file\)"):
        read_photo(photo)
