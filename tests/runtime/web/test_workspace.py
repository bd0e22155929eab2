"""The workspace: one server at a time, private, and swept."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from colorize.runtime.errors import ArgumentError, OutputError
from colorize.runtime.web.workspace import (
    default_workspace,
    is_id,
    link_or_copy,
    new_id,
    open_workspace,
)

HOLD = """
import sys
from pathlib import Path
from colorize.runtime.web.workspace import open_workspace
with open_workspace(Path(sys.argv[1])):
    print("open", flush=True)
    sys.stdin.read()
"""


def test_a_second_server_is_refused_until_the_first_is_gone(tmp_path: Path) -> None:
    words = [sys.executable, "-c", HOLD, str(tmp_path / "work")]
    first = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert first.stdout is not None
        assert first.stdout.readline() == "open\n"
        with pytest.raises(ArgumentError, match="another colorize-web") as refused:
            open_workspace(tmp_path / "work").__enter__()
        assert refused.value.exit_code == 2
    finally:
        first.kill()  # it gives nothing back by itself
        first.communicate()
    with open_workspace(tmp_path / "work") as workspace:
        assert workspace.path == tmp_path / "work"


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_a_linked_folder_is_known_by_its_own_name(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "near").symlink_to(tmp_path / "far")
    with open_workspace(tmp_path / "near") as workspace:  # sources are checked by theirs
        assert workspace.path == tmp_path / "far"


@pytest.mark.skipif(os.name == "nt", reason="modes are POSIX's")
def test_others_of_this_machine_cannot_look_in(tmp_path: Path) -> None:
    with open_workspace(tmp_path / "work") as workspace:
        assert workspace.path.stat().st_mode & 0o077 == 0
        assert len(workspace.secret) == 32
        assert (workspace.path / "secret").stat().st_mode & 0o077 == 0
    with open_workspace(tmp_path / "work") as again:
        assert again.secret == workspace.secret


def test_a_workspace_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write there"):
        open_workspace(tmp_path / "file" / "work").__enter__()


def test_ids_cannot_be_guessed_and_are_safe_names() -> None:
    ids = {new_id() for _ in range(100)}
    assert len(ids) == 100
    assert all(is_id(each) for each in ids)
    for hostile in ("", "..", "../../etc/passwd", "a/b" * 7 + "a", new_id() + "\n", None, 7):
        assert not is_id(hostile)


def test_the_default_is_among_the_users_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", "/somewhere")
    if sys.platform == "linux":
        assert default_workspace() == Path("/somewhere/colorize/web")


def test_uploads_go_after_a_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_workspace(tmp_path / "work") as workspace:
        for folder in (workspace.incoming / "hash", workspace.media / new_id()):
            folder.mkdir()
            (folder / "film.mp4").write_bytes(b"film")
            os.utime(folder / "film.mp4", (0, 0))  # its content is old, its upload is not
        kept = tmp_path / "elsewhere"
        link_or_copy(folder / "film.mp4", kept)
        assert workspace.sweep() == 0
        now = time.time()
        monkeypatch.setattr(time, "time", lambda: now + 24 * 3600 - 60)
        assert workspace.sweep() == 0
        monkeypatch.setattr(time, "time", lambda: now + 24 * 3600 + 60)
        assert workspace.sweep() == 2
        monkeypatch.setattr(time, "time", lambda: now + 48 * 3600 + 120)
        workspace.sweep()  # folders, which the first sweep has changed
        assert list(workspace.incoming.iterdir()) == list(workspace.media.iterdir()) == []
        assert kept.read_bytes() == b"film"
