"""Media: what may be read, by whom, and what strangers may not make the server open."""

import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from helpers.video import read_frames
from PIL import Image

from colorize.runtime.errors import ArgumentError, InputError
from colorize.runtime.web.jobs import Jobs, Settings
from colorize.runtime.web.limits import read_size
from colorize.runtime.web.media import Library, said, shown_name
from colorize.runtime.web.workspace import Workspace, new_id, open_workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    with open_workspace(tmp_path / "work") as opened:
        yield opened


@pytest.fixture
def library(workspace: Workspace) -> Library:
    return Library(workspace)


def _uploaded(workspace: Workspace, content: bytes | Path) -> Path:
    path = workspace.incoming / new_id()
    path.write_bytes(content if isinstance(content, bytes) else content.read_bytes())
    return path


def test_an_upload_is_known_by_its_content(
    library: Library, workspace: Workspace, photo: Path, small_video: Path
) -> None:
    film = library.receive(_uploaded(workspace, small_video), "C:\\films\\Oma\t1950.jpg", "ann")
    picture = library.receive(_uploaded(workspace, photo), "../../tulips.mp4", "ann")
    assert (film.kind, film.name, film.path.suffix) == ("film", "Oma_1950.jpg", ".jpg")
    assert (picture.kind, picture.name) == ("photo", "tulips.mp4")
    assert picture.path.read_bytes() == photo.read_bytes()
    assert library.find(film.id, "ann") == film
    assert film.public() == {
        "id": film.id,
        "name": "Oma_1950.jpg",
        "kind": "film",
        "size": small_video.stat().st_size,
    }


def test_an_upload_is_its_owners_alone(library: Library, workspace: Workspace, photo: Path) -> None:
    mine = library.receive(_uploaded(workspace, photo), "a.jpg", "ann")
    with pytest.raises(InputError, match="not here any more"):
        library.find(mine.id, "bob")


@pytest.mark.parametrize(
    "hostile", ["", "..", "../jobs", "/etc/passwd", "x" * 22, "a\0b", "../../" + "x" * 16]
)
def test_a_made_up_id_finds_nothing(library: Library, hostile: str) -> None:
    with pytest.raises(InputError, match="not here any more"):
        library.find(hostile, "ann")


def test_only_what_was_uploaded_is_taken(
    library: Library, workspace: Workspace, photo: Path, tmp_path: Path
) -> None:
    link = workspace.incoming / "link.jpg"
    link.symlink_to(photo)
    pipe = workspace.incoming / "pipe.jpg"
    os.mkfifo(pipe)
    climbing = workspace.incoming / ".." / "secret"
    assert workspace.secret
    for path in (photo, link, pipe, climbing, workspace.incoming, tmp_path / "none", "a\0b"):
        with pytest.raises(InputError, match=r"a\.jpg: is no upload"):
            library.receive(path, "a.jpg", "ann")
    assert list(workspace.media.iterdir()) == []


def _png_that_says(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    content = zlib.compress(bytes(1 << 20))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", content) + chunk(b"IEND", b"")
    )


PLAYLIST = "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{film}\n#EXT-X-ENDLIST\n"
POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "is empty"),
        (b"no picture at all", "neither a picture nor a film"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "neither a picture nor a film"),
        (_png_that_says(30_000, 30_000), "900 megapixels, above the 250"),
        (POSTSCRIPT, "EPS files are not taken"),
        ("a playlist", "neither a picture nor a film"),
        ("a list of films", "neither a picture nor a film"),
    ],
)
def test_hostile_content_gets_one_line_and_leaves_nothing(
    library: Library, workspace: Workspace, small_video: Path, content: bytes | str, why: str
) -> None:
    beside = workspace.incoming / "beside.mp4"
    beside.write_bytes(small_video.read_bytes())
    if content == "a playlist":
        content = PLAYLIST.format(film=beside).encode()
    if content == "a list of films":
        content = b"ffconcat version 1.0\nfile beside.mp4\n"
    assert isinstance(content, bytes)
    with pytest.raises(InputError, match=why) as refused:
        library.receive(_uploaded(workspace, content), "film.mp4", "ann")
    assert "\n" not in str(refused.value)
    assert str(workspace.path) not in str(refused.value)
    assert list(workspace.media.iterdir()) == []


def test_a_film_whose_frames_are_too_large_is_refused(
    library: Library, workspace: Workspace
) -> None:
    content = b"YUV4MPEG2 W12000 H9000 F25:1 C420\nFRAME\n" + bytes(4096)
    with pytest.raises(InputError, match="12000x9000, too large"):
        library.receive(_uploaded(workspace, content), "film.y4m", "ann")


@pytest.fixture
def folder_of_films(tmp_path: Path, photo: Path, small_video: Path) -> Path:
    folder = tmp_path / "films"
    (folder / "1950").mkdir(parents=True)
    (folder / ".trash").mkdir()
    (folder / "1950" / "oma.mp4").write_bytes(small_video.read_bytes())
    (folder / "tulips.jpg").write_bytes(photo.read_bytes())
    for name in ("notes.txt", ".hidden.mp4", ".trash/old.mp4"):
        (folder / name).write_bytes(small_video.read_bytes())
    (folder / "inside.mp4").symlink_to(folder / "1950" / "oma.mp4")
    (tmp_path / "private.mp4").write_bytes(small_video.read_bytes())
    (folder / "outside.mp4").symlink_to(tmp_path / "private.mp4")
    (folder / "all").symlink_to(tmp_path)
    (folder / "circle.mp4").symlink_to(folder / "circle.mp4")
    return folder


def test_folders_are_listed_without_what_leads_out(
    workspace: Workspace, folder_of_films: Path
) -> None:
    library = Library(workspace, [folder_of_films])
    listed = library.listed()
    assert {each.name for each in listed} <= {
        "films/1950/oma.mp4",
        "films/inside.mp4",
        "films/tulips.jpg",
    }
    assert len(listed) == 2  # the link is the same film
    assert all(library.find(each.id, "anyone") == each for each in listed)
    assert all(str(folder_of_films) not in str(each.public()) for each in listed)
    again = Library(workspace, [folder_of_films])
    assert again.find(listed[0].id, "anyone") == listed[0]  # the same after a restart


def test_a_file_that_became_a_link_is_not_read(
    workspace: Workspace, folder_of_films: Path, tmp_path: Path
) -> None:
    library = Library(workspace, [folder_of_films])
    [film] = [each for each in library.listed() if each.kind == "film"]
    film.path.unlink()
    film.path.symlink_to(tmp_path / "private.mp4")
    with pytest.raises(InputError, match="not here any more"):
        library.find(film.id, "ann")


@pytest.fixture
def scan(folder_of_films: Path, small_video: Path) -> Path:
    """A folder with the numbered frames of a film, and a hidden file."""
    folder = folder_of_films / "scan"
    folder.mkdir()
    for number, frame in enumerate(read_frames(small_video) * 2, 86400):
        Image.fromarray(frame.to_ndarray(format="rgb24")).save(folder / f"oma_{number:06}.png")
    (folder / ".thumbs.png").write_bytes(b"")
    return folder


def test_numbered_frames_are_a_film(
    workspace: Workspace, folder_of_films: Path, scan: Path
) -> None:
    library = Library(workspace, [folder_of_films])
    [film] = [each for each in library.listed() if "scan" in each.name]
    assert (film.name, film.kind) == ("films/scan", "film")
    assert film.path == scan.resolve() / "oma_%06d.png"
    assert film.size == sum(path.stat().st_size for path in scan.glob("oma*"))
    assert library.find(film.id, "ann") == film
    assert library.may_read(film.path)
    assert not Library(workspace).may_read(film.path)
    job = Jobs(library, {"default": "x.onnx"}).create(film, Settings(), "ann")
    assert job.download_name == "scan_colorized.mp4"
    assert replace(job, name="films/reel.2").download_name == "reel.2_colorized.mp4"
    assert said(f"{scan.resolve()}/oma_000001.png: is missing", job.spoken) == (
        "films/scan/oma_000001.png: is missing"
    )


@pytest.mark.parametrize("wrong", ["gap", "link", "stranger", "few"])
def test_other_numbered_pictures_are_no_film(
    workspace: Workspace, folder_of_films: Path, scan: Path, photo: Path, wrong: str
) -> None:
    library = Library(workspace, [folder_of_films])
    [film] = [each for each in library.listed() if each.name == "films/scan"]
    frames = sorted(scan.glob("oma*"))
    if wrong == "stranger":
        (scan / "poster.jpg").write_bytes(photo.read_bytes())
    for frame in {"gap": frames[5:6], "link": frames[5:6], "few": frames[11:]}.get(wrong, []):
        frame.unlink()
        if wrong == "link":
            frame.symlink_to(folder_of_films.parent / "private.mp4")
    assert library.may_read(film.path) == (wrong != "link")
    assert "films/scan" not in {each.name for each in library.listed()}
    with pytest.raises(InputError, match="not here any more"):
        library.find(film.id, "ann")


def test_what_may_be_read_is_decided_by_where_it_lies(
    workspace: Workspace, folder_of_films: Path, tmp_path: Path
) -> None:
    film = (folder_of_films / "1950" / "oma.mp4").resolve()
    assert Library(workspace, [folder_of_films]).may_read(film)
    assert not Library(workspace).may_read(film)
    assert not Library(workspace, [folder_of_films]).may_read(tmp_path / "private.mp4")


def test_a_folder_that_is_none_is_refused(workspace: Workspace, tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="no such folder"):
        Library(workspace, [tmp_path / "none"])


def test_names_are_one_printable_line_and_never_a_path() -> None:
    assert shown_name("/etc/passwd") == "passwd"
    assert shown_name("a\nb\x1b[31m.png") == "a_b_[31m.png"
    assert shown_name("..") == shown_name("") == shown_name("x/") == "unnamed"
    long = shown_name("ä" * 999 + ".mp4")
    assert len(long) == 200
    assert long.endswith(".mp4")


def test_messages_name_no_path(tmp_path: Path) -> None:
    names = {tmp_path: "its folder", tmp_path / "a.mp4": "Oma.mp4"}
    message = f"{tmp_path / 'a.mp4'}: gone\n; see {tmp_path}"
    assert said(InputError(message), names) == "Oma.mp4: gone ; see its folder"


@pytest.mark.parametrize(
    ("text", "size"),
    [("2GB", 2 * 10**9), ("500 mb", 5 * 10**8), ("1.5GiB", 3 << 29), ("4096", 4096), ("1k", 1000)],
)
def test_sizes_are_read(text: str, size: int) -> None:
    assert read_size(text) == size


@pytest.mark.parametrize("text", ["", "0", "-1", "GB", "2 XB", "1e9", "inf"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no size"):
        read_size(text)


def test_pictures_of_every_usual_kind_are_taken(
    library: Library, workspace: Workspace, tmp_path: Path
) -> None:
    for suffix in ("png", "jpg", "tif", "webp", "bmp", "gif", "jp2"):
        path = tmp_path / f"picture.{suffix}"
        Image.new("RGB", (16, 12), "red").save(path)
        assert library.receive(_uploaded(workspace, path), path.name, "ann").kind == "photo"
