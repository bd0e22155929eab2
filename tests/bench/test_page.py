"""The report page in a headless browser: renders, sorts, slides, and asks the network nothing."""

import io
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from colorize.bench.report.page import Axis, WallPhoto, build_page
from colorize.bench.report.results import read_document

sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install .[dev]")
GOLDEN = Path(__file__).parent / "data" / "bench-results.json"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


def jpeg(color: tuple[int, int, int]) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (160, 120), color).save(buffer, "JPEG")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def html() -> str:
    document = read_document(GOLDEN)
    document["warnings"] = ['<img src="https://example.org/x.png" onerror="alert(1)">']
    pictures = {
        "gray": jpeg((90, 90, 90)),
        "default": jpeg((200, 60, 60)),
        "truth": jpeg((60, 60, 200)),
    }
    return build_page(document, [WallPhoto(name, pictures) for name in document["data"]["names"]])


@pytest.fixture(scope="module")
def page(html: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The page, opened; `complaints` collects console errors and requests to the network."""
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine")
    path = tmp_path_factory.mktemp("page") / "index.html"
    path.write_text(html, encoding="utf-8")
    with sync_api.sync_playwright() as playwright:
        # Without a sandbox: it needs rights that containers do not give, and the page is ours.
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        opened = browser.new_page(viewport={"width": 1200, "height": 900})
        opened.complaints = []
        opened.on("console", lambda message: opened.complaints.append(message.text))
        opened.on("pageerror", lambda error: opened.complaints.append(str(error)))
        opened.on(
            "request",
            lambda request: (
                opened.complaints.append(request.url)
                if not request.url.startswith(("file:", "data:"))
                else None
            ),
        )
        opened.goto(path.as_uri())
        yield opened
        browser.close()


def column(page: Any, heading: str) -> list[str]:
    """The texts of a column of the first table."""
    index = page.locator("table").first.locator("th").all_inner_texts().index(heading)
    rows = page.locator("table").first.locator("tbody tr").all()
    return [row.locator("td").nth(index).inner_text() for row in rows]


def test_tables_sort_by_value_and_rows_without_one_stay_below(page: Any) -> None:
    heading = page.locator("table").first.get_by_role("button", name="PSNR dB")
    rows = [row for row in read_document(GOLDEN)["quality"] if "means" in row]
    ratios = {row["title"]: row["means"]["psnr_db"] for row in rows}
    low, high = sorted(f"{ratios[title]:.2f}" for title in ("default", "gray"))
    heading.click()
    assert column(page, "PSNR dB")[:2] == [low, high]
    heading.click()
    assert column(page, "PSNR dB")[:2] == [high, low]
    assert sorted(column(page, "PSNR dB")[2:]) == ["-", "failed"]
    assert page.locator("th[aria-sort=descending]").count() == 1
    page.locator("table").first.get_by_role("button", name="model").click()
    assert column(page, "model") == sorted(column(page, "model"))


def shown_at(page: Any, share: float) -> tuple[int, int, int]:
    """The color of the first photograph at this share of its width."""
    with Image.open(io.BytesIO(page.locator(".pair").first.screenshot())) as image:
        rgb = np.asarray(image.convert("RGB"))
    r, g, b = (int(value) for value in rgb[rgb.shape[0] // 2, int(share * (rgb.shape[1] - 1))])
    return r, g, b


def test_the_slider_moves_from_gray_to_color(page: Any) -> None:
    slider = page.locator(".pair input").first
    slider.fill("50")
    assert shown_at(page, 0.25) == pytest.approx((90, 90, 90), abs=6)
    assert shown_at(page, 0.75) == pytest.approx((200, 60, 60), abs=6)
    slider.fill("90")
    assert shown_at(page, 0.75) == pytest.approx((90, 90, 90), abs=6)
    box = page.locator(".pair").first.bounding_box()
    page.mouse.click(box["x"] + 0.1 * box["width"], box["y"] + 0.5 * box["height"])
    assert shown_at(page, 0.25) == pytest.approx((200, 60, 60), abs=6)


def test_both_sides_can_be_chosen(page: Any) -> None:
    page.locator("#right").select_option("truth")
    page.locator(".pair input").first.fill("10")
    assert shown_at(page, 0.75) == pytest.approx((60, 60, 200), abs=6)
    assert "CF" in page.locator("figcaption").first.inner_text()
    page.locator("#right").select_option("default")
    assert "PSNR dB" in page.locator("figcaption").first.inner_text()


def test_charts_show_every_engine_and_every_run(page: Any) -> None:
    document = read_document(GOLDEN)
    timed = [row for row in document["speed"] if "error" not in row]
    first = [row for row in timed if row["batch"] == 1]
    assert page.locator("#scatter .point").count() == len(first)
    runs = sum(len(row["samples_ms"]) for row in timed)
    assert page.locator("#strips circle").count() == runs
    assert page.locator("#scatter").bounding_box()["width"] > 300


def test_nothing_is_complained_of_and_nothing_is_fetched(page: Any) -> None:
    assert page.complaints == []


def test_texts_from_outside_are_escaped(html: str) -> None:
    assert "<img src=&#34;https://example.org" not in html.split("</head>")[0]
    assert 'onerror="alert' not in html
    assert "&lt;img src=" in html


def test_an_axis_has_round_ticks_inside_it() -> None:
    assert [label for _, label in Axis(3, 60, 0, 100, log=True).ticks()] == ["5", "10", "20", "50"]
    assert [label for _, label in Axis(0.13, 0.31, 0, 100).ticks()] == [
        "0.15",
        "0.2",
        "0.25",
        "0.3",
    ]
    assert Axis(10, 20, 100, 0).at(15) == 50
