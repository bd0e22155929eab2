"""How often, and with which decoder, reference frames and their film are read."""

import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import av
import pytest
from helpers.video import MakeFilm
from PIL import Image

from colorize.runtime.steering.references import Reference

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def film(make_video: MakeFilm, tmp_path: Path) -> Path:
    """A film, and refs/ beside it."""
    (tmp_path / "refs").mkdir()
    for frame in (2, 7):
        Image.new("RGB", (64, 48), "red").save(tmp_path / "refs" / f"ref_{frame:06}.png")
    return make_video(tmp_path / "film.mkv", codec="mjpeg", fmt="yuvj420p")


def test_a_reference_is_checked_once(
    film: Path, colorize_run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked = Counter[int]()
    check = Reference.check

    def counted(self: Reference, height: int, width: int, frames: int | None) -> None:
        checked[self.frame] += 1
        check(self, height, width, frames)

    monkeypatch.setattr(Reference, "check", counted)
    refs = film.with_name("refs")
    done = colorize_run(film, "-o", film.with_name("out.mkv"), "--references", refs)
    assert done.returncode == 0, done.stderr
    assert checked == {2: 1, 7: 1}


def test_damage_in_the_first_frame_is_bridged_with_references_too(
    film: Path, colorize_run: Run
) -> None:
    with av.open(str(film)) as container:
        packet = next(container.demux(video=0))
    assert packet.pos is not None
    content = bytearray(film.read_bytes())
    at = content.index(bytes(packet)[:32], packet.pos)
    content[at : at + packet.size] = b"\xff" * packet.size
    film.write_bytes(content)
    target, refs = film.with_name("out.mkv"), film.with_name("refs")
    alone = colorize_run(film, "-o", target)
    done = colorize_run(film, "-o", target, "--references", refs, "--overwrite")
    assert (alone.returncode, done.returncode) == (0, 0), done.stderr
    assert "1 damaged packets were skipped" in done.stderr
