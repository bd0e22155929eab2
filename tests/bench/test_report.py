"""What a results document is drawn as: tables, Markdown, the comparison of two, its schema."""

import copy
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.bench import bench, settings_of
from helpers.commands import Finished
from helpers.scenes import scene, write_film
from helpers.video import scratched

from colorize.bench.report import compare
from colorize.bench.report.results import SCHEMA, read_document
from colorize.bench.report.tables import tables, to_markdown
from colorize.bench.settings import Failure, Model
from colorize.bench.video.evaluate import as_colorful, measure_video, video_colors
from colorize.bench.video.references import measure_references
from colorize.runtime.color import U8, rgb_to_gray
from colorize.runtime.colorizer import Colorizer
from colorize.runtime.errors import InputError
from colorize.runtime.video.options import VideoOptions

jsonschema = pytest.importorskip("jsonschema")
ROOT = Path(__file__).parents[2]
GOLDEN = Path(__file__).parent / "data" / "bench-results.json"


@pytest.fixture
def golden() -> dict[str, Any]:
    """A document with every kind of row: a model, one that failed, references, a film."""
    return read_document(GOLDEN)


@pytest.fixture(scope="module")
def validate() -> Callable[[object], None]:
    schema = json.loads((ROOT / "bench" / "report" / "results.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    return lambda document: validator.validate(document)


def test_the_golden_document_follows_the_schema(
    golden: dict[str, Any], validate: Callable[[object], None]
) -> None:
    validate(golden)
    changes: list[dict[str, Any]] = [
        {"schema": 1},
        {"quality": []},
        {"more": 0},
        {"speed": [{"model": "m"}]},
    ]
    for change in changes:
        with pytest.raises(jsonschema.ValidationError):
            validate(golden | change)


def test_what_the_command_writes_follows_the_schema(
    tiny_model: Path,
    small_video: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    validate: Callable[[object], None],
) -> None:
    monkeypatch.setattr("colorize.bench.speed.latency.peak_memory", lambda *_: None)
    words = f"--model {tiny_model} --limit-images 1 --runs 2 --warmup 0 --batch 1 --roofline"
    words += f" --video {small_video} --video-frames 7 --references 0,2 -o {tmp_path}"
    result = bench(*words.split())
    assert result.returncode == 0, result.stderr
    document = json.loads((tmp_path / "results.json").read_text())
    validate(document)
    [video] = document["videos"]
    [speed] = video["speed"]
    assert (speed["frames"], speed["width"], speed["height"]) == (10, 64, 48)
    assert speed["fps"] == pytest.approx(10 / speed["seconds"])
    alone = speed["transcode_seconds"] + speed["network_seconds"]
    assert speed["bound_share"] == pytest.approx(alone / speed["seconds"])
    slower = "network" if speed["network_seconds"] > speed["transcode_seconds"] else "encoder"
    assert speed["bound_by"] == slower
    assert {"decode", "network", "encode"} <= set(speed["stages"])
    own, bare, truth, gray = video["colors"]
    assert (own["model"], bare["model"]) == (str(tiny_model), f"{tiny_model}, not stabilized")
    assert own["flicker"] < bare["flicker"]
    assert (truth["model"], gray["model"]) == ("truth", "gray")
    assert {row["frames"] for row in video["colors"]} == {7}
    assert (truth["psnr_db"], gray["flicker"]) == (None, pytest.approx(0, abs=0.01))
    assert own["psnr_db"] > 5
    assert document["roofline"][0]["share"] > 0
    rows = [(row["model"], row["references"]) for row in video["references"]]
    name = str(tiny_model)
    assert rows == [("gray", []), (name, []), ("plain warping", [0, 6]), (name, [0, 6])]
    assert 'class="over-time"' in (tmp_path / "index.html").read_text()
    assert "from its own frames as references" in (tmp_path / "results.md").read_text()


def test_plain_warping_moves_the_colors_of_a_films_own_frames(tmp_path: Path) -> None:
    truth = list(scene(0, 8))
    film = write_film(tmp_path / "film.mkv", truth)
    settings = settings_of(references=(1, 2, 3), video_frames=8)
    gray, *plain = measure_references([], film, settings)
    assert [row.references for row in plain] == [(0,), (0, 7), (0, 4, 7)]
    assert gray.psnr_db is not None
    for row in plain:
        others = [
            value for index, value in enumerate(row.psnr_by_frame) if index not in row.references
        ]
        assert len(row.psnr_by_frame) == 8
        assert row.psnr_db == pytest.approx(np.mean(np.array(others, float)))
        assert (row.psnr_db or 0) > gray.psnr_db + 8
        assert all((row.psnr_by_frame[own] or 99) > 40 for own in row.references)
        assert row.ciede2000 < 0.5 * gray.ciede2000
        assert set(row.cdc) == {"1", "2", "4"}
        assert row.flicker is not None
        assert row.flicker > (gray.flicker or 0)
    assert measure_references([], write_film(tmp_path / "g.mkv", _gray(truth)), settings) == ()


def _gray(frames: Sequence[U8]) -> list[U8]:
    return [np.dstack([rgb_to_gray(rgb)] * 3) for rgb in frames]


def test_a_film_that_is_damaged_within_fails_alone(
    clip: Path, tiny_model: Path, tmp_path: Path
) -> None:
    source = scratched(clip, tmp_path / "scratched.mp4")
    settings = settings_of(backends=("openvino",))
    model = Model("tiny", tiny_model, "")
    video = measure_video([model], source, settings)
    [failure] = video.speed
    assert isinstance(failure, Failure)
    assert failure.error.startswith("scratched.mp4: cannot be measured")
    assert video.colors == ()


def test_a_black_and_white_film_is_no_truth(
    make_video: Callable[..., Path], tmp_path: Path
) -> None:
    gray = make_video(tmp_path / "gray.mkv", flat=90)
    colored = make_video(tmp_path / "colored.mkv")
    [row] = video_colors(gray, {"own": colored}, 8)
    assert (row.model, row.psnr_db, row.temporal_psnr_db) == ("own", None, None)
    assert row.colorfulness > 10


def test_films_are_compared_at_equal_colorfulness(
    tiny_model: Path, small_video: Path, tmp_path: Path
) -> None:
    """Of two films, one paled, the vivid one is made again, as pale."""
    vivid, pale = tmp_path / "0.unsteady.mkv", tmp_path / "0.mkv"
    for path, saturation in ((vivid, 1.0), (pale, 0.8)):
        with Colorizer(tiny_model, backend="onnxruntime", saturation=saturation) as colorizer:
            colorizer.video(small_video, path, VideoOptions(stabilize=False))
    model, settings = (
        Model("own", tiny_model, ""),
        settings_of(backends=("onnxruntime",), video_frames=10),
    )

    def even(steady: Path) -> dict[str, Path]:
        videos = {"own": steady, "own, not stabilized": vivid}
        return as_colorful([model], videos, small_video, settings)

    assert even(vivid) == {}
    [(name, made)] = even(pale).items()
    assert name == "own, not stabilized, as colorful"
    rows = video_colors(small_video, {"made": made, "pale": pale, "vivid": vivid}, 10)
    made_cf, pale_cf, vivid_cf = (row.colorfulness for row in rows[:3])
    assert made_cf == pytest.approx(pale_cf, rel=0.03)
    assert made_cf < 0.9 * vivid_cf


def test_tables_are_the_golden_ones(golden: dict[str, Any]) -> None:
    markdown = to_markdown(golden)
    assert markdown == GOLDEN.with_suffix(".md").read_text(encoding="utf-8")


def test_rows_that_failed_keep_the_shape_of_their_table(golden: dict[str, Any]) -> None:
    for table in tables(golden):
        width = len(table.names) + len(table.figures)
        assert {len(row) for row in table.rows} == {width}, table.title


def test_every_cell_with_a_figure_sorts_by_it(golden: dict[str, Any]) -> None:
    quality = tables(golden)[0]
    column = len(quality.names) + quality.figures.index("PSNR dB")
    values = {row[0].text: row[column].value for row in quality.rows}
    [own] = [row for row in golden["quality"] if row.get("title") == "default"]
    assert values["default"] == own["means"]["psnr_db"]
    assert values["truth"] is None


# Comparison


@pytest.fixture
def compared(tmp_path: Path, golden: dict[str, Any]) -> Callable[..., Finished]:
    """`compared(edit)` runs --compare on the golden document and an edited copy of it."""

    def run(edit: Callable[[dict[str, Any]], object], *more: str) -> Finished:
        new = copy.deepcopy(golden)
        edit(new)
        (tmp_path / "new.json").write_text(json.dumps(new))
        words = ["--compare", str(GOLDEN), str(tmp_path / "new.json"), *more]
        return bench(*words)

    return run


def faster(document: dict[str, Any], by: float) -> None:
    for row in document["speed"]:
        if "p50_ms" in row:
            row["p50_ms"] /= by


def worse_colors(document: dict[str, Any], by: float) -> None:
    [row] = [row for row in document["quality"] if row.get("title") == "default"]
    row["means"]["ciede2000"] += by
    row["per_photo"]["ciede2000"] = [value + by for value in row["per_photo"]["ciede2000"]]


def test_the_same_figures_are_no_regression(compared: Callable[..., Finished]) -> None:
    result = compared(lambda _: None)
    assert result.returncode == 0, result.stderr
    assert "0 regressions among" in result.stdout
    assert "PSNR alone rewards gray pictures" in result.stdout


def test_what_lies_beyond_the_noise_is_a_regression_and_exits_with_1(
    compared: Callable[..., Finished],
) -> None:
    result = compared(lambda new: worse_colors(new, 0.5))
    assert result.returncode == 1
    [line] = [line for line in result.stdout.splitlines() if " regression " in line]
    assert line.split()[:2] == ["default", "ΔE2000"]
    assert compared(lambda new: worse_colors(new, 0.01)).returncode == 0
    assert compared(lambda new: worse_colors(new, -0.5)).returncode == 0


def test_a_slower_engine_is_a_regression_unless_tolerated(
    compared: Callable[..., Finished],
) -> None:
    assert compared(lambda new: faster(new, 0.5)).returncode == 1
    assert compared(lambda new: faster(new, 0.5), "--tolerance", "2").returncode == 0
    assert compared(lambda new: faster(new, 0.99)).returncode == 0
    assert "better" in compared(lambda new: faster(new, 2)).stdout


def test_changes_of_photographs_in_pairs_set_the_noise(golden: dict[str, Any]) -> None:
    new = copy.deepcopy(golden)
    [row] = [row for row in new["quality"] if row.get("title") == "default"]
    row["per_photo"]["ciede2000"] = [
        value + change
        for value, change in zip(row["per_photo"]["ciede2000"], (4.0, -3.0), strict=True)
    ]
    row["means"]["ciede2000"] += 0.5
    changes, _ = compare.compare(golden, new, 0.05)
    [change] = [c for c in changes if (c.model, c.figure) == ("default", "ΔE2000")]
    assert change.noise == pytest.approx(0.02 + 2 * (7 / 2**0.5) / 2**0.5)
    assert change.verdict == "same"


def test_a_row_that_is_lost_is_a_regression(compared: Callable[..., Finished]) -> None:
    def lose(new: dict[str, Any]) -> None:
        new["quality"] = [row for row in new["quality"] if row.get("title") != "default"]

    assert compared(lose).returncode == 1


def test_other_photographs_and_machines_are_not_compared(compared: Callable[..., Finished]) -> None:
    def move(new: dict[str, Any]) -> None:
        new["machine"]["cpu"] = "another"
        faster(new, 0.1)

    result = compared(move)
    assert result.returncode == 0
    assert "speed was not compared: another machine" in result.stdout

    def both(new: dict[str, Any]) -> None:
        new["data"]["fingerprint"] = "1" * 32
        move(new)

    result = compared(both)
    assert result.returncode == 2
    assert "have nothing to compare" in result.stderr


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "not the results.json"),
        ("[]", "schema None"),
        ('{"schema": 1}', f"schema 1, this toolkit reads {SCHEMA}"),
    ],
)
def test_documents_of_another_kind_are_refused(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "old.json"
    path.write_text(text)
    with pytest.raises(InputError, match=reason):
        read_document(path)
    with pytest.raises(InputError, match="no such file"):
        read_document(tmp_path / "none.json")
