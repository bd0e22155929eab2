"""Files: whole or not at all, and names for contents."""

import hashlib
import itertools
from pathlib import Path

import pytest

from colorize.runtime import files
from colorize.runtime.errors import ModelError, OutputError
from colorize.runtime.files import fingerprint, photo_files, sha256, whole_file
from colorize.runtime.models.catalog import SAMPLES, bundled_models, find_model


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_whole_file_appears_at_the_end(tmp_path: Path) -> None:
    target = tmp_path / "result.png"
    with whole_file(target) as part:
        part.write_text("new")
        assert not target.exists()
        assert part.parent == tmp_path
        assert part.suffix == ".png"
    assert target.read_text() == "new"
    assert _names(tmp_path) == ["result.png"]


def test_a_whole_file_replaces_an_earlier_one_at_once(tmp_path: Path) -> None:
    target = tmp_path / "result.png"
    target.write_text("old")
    with whole_file(target) as part:
        part.write_text("new")
        assert target.read_text() == "old"
    assert target.read_text() == "new"


def _write_half(target: Path, error: type[BaseException]) -> None:
    with whole_file(target) as part:
        part.write_text("half")
        raise error


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_an_error_leaves_nothing(error: type[BaseException], tmp_path: Path) -> None:
    with pytest.raises(error):
        _write_half(tmp_path / "result.png", error)
    assert _names(tmp_path) == []


def test_an_error_leaves_the_earlier_file(tmp_path: Path) -> None:
    target = tmp_path / "result.png"
    target.write_text("old")
    with pytest.raises(KeyboardInterrupt):
        _write_half(target, KeyboardInterrupt)
    assert target.read_text() == "old"
    assert _names(tmp_path) == ["result.png"]


def test_an_error_of_the_disk_is_an_output_error(tmp_path: Path) -> None:
    with (
        pytest.raises(OutputError, match=r"result\.png: cannot write it \(No space left"),
        whole_file(tmp_path / "result.png"),
    ):
        raise OSError(28, "No space left on device")
    assert _names(tmp_path) == []


def test_missing_folders_are_made(tmp_path: Path) -> None:
    with whole_file(tmp_path / "a" / "b" / "result.png") as part:
        part.write_text("new")
    assert (tmp_path / "a" / "b" / "result.png").read_text() == "new"


def test_a_file_in_place_of_the_folder_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "folder").write_text("a file")
    with (
        pytest.raises(OutputError, match="cannot write there"),
        whole_file(tmp_path / "folder" / "result.png"),
    ):
        pass
    assert _names(tmp_path) == ["folder"]


def test_two_writers_do_not_meet(tmp_path: Path) -> None:
    target = tmp_path / "result.png"
    with whole_file(target) as first, whole_file(target) as second:
        assert first != second
        first.write_text("first")
        second.write_text("second")
    assert target.read_text() == "first"


def test_a_failing_writer_does_not_hide_a_long_name(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot write"), whole_file(tmp_path / ("n" * 300)):
        pass


def test_sha256_is_that_of_the_content(tmp_path: Path) -> None:
    data = bytes(range(256)) * 5000
    (tmp_path / "data").write_bytes(data)
    assert sha256(data) == sha256(tmp_path / "data") == hashlib.sha256(data).hexdigest()


def test_fingerprint_does_not_depend_on_order_or_repetition() -> None:
    hashes = [sha256(text) for text in (b"one", b"two", b"three")]
    same = {fingerprint(order) for order in itertools.permutations(hashes)}
    assert same == {fingerprint(hashes + hashes[:1])}


def test_fingerprint_depends_on_every_content() -> None:
    one, two, three = (sha256(text) for text in (b"one", b"two", b"three"))
    prints = {
        fingerprint(names) for names in ([], [one], [one, two], [one, three], [one, two, three])
    }
    assert len(prints) == 5
    assert all(len(name) == 32 for name in prints)


def test_photo_files_are_found_by_name_at_any_depth(tmp_path: Path) -> None:
    wanted = ["b.JPG", "a/c.png", "a/b/d.TIFF"]
    others = [".hidden.jpg", ".cache/e.jpg", "film.mp4", "notes.txt", "jpg"]
    for name in wanted + others:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "folder.jpg").mkdir()
    found = [path.relative_to(tmp_path).as_posix() for path in photo_files(tmp_path)]
    assert found == sorted(found)
    assert set(found) == set(wanted)


def test_samples_for_training_and_testing_differ() -> None:
    train = {sha256(path) for path in photo_files(SAMPLES / "train")}
    test = {sha256(path) for path in photo_files(SAMPLES / "test")}
    assert len(train) >= 16
    assert len(test) >= 16
    assert not train & test


def test_models_are_found_by_path(tiny_model: Path) -> None:
    assert find_model(tiny_model) == tiny_model
    assert find_model(str(tiny_model)) == tiny_model


def test_models_are_found_by_name(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("colorize.runtime.models.catalog.MODELS", tiny_model.parent)
    assert bundled_models() == {"tiny": tiny_model}
    assert find_model("tiny") == tiny_model
    with pytest.raises(ModelError, match=r"these are: tiny"):
        find_model("huge")


def test_an_empty_folder_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no \.onnx file in this folder"):
        find_model(tmp_path)


def test_a_known_sum_is_computed_again_only_where_the_file_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model"
    read: list[Path] = []

    def noted(data: Path) -> str:
        read.append(data)
        return sha256(data)

    monkeypatch.setattr(files, "sha256", noted)
    path.write_bytes(b"one")
    assert [files.known_sha256(path) for _ in range(3)] == [sha256(b"one")] * 3
    assert len(read) == 1
    path.write_bytes(b"another")
    assert files.known_sha256(path) == sha256(b"another")
    path.unlink()
    with pytest.raises(FileNotFoundError):
        files.known_sha256(path)
