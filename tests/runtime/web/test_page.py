"""The page in a real browser: what a person does with it, from dropping a file to its download."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from helpers.commands import run_command
from helpers.page import Server
from PIL import Image

from colorize.runtime import Colorizer
from colorize.runtime.cli import main as colorize_run
from colorize.runtime.color import rgb_to_lab
from colorize.runtime.models.catalog import SAMPLES
from colorize.runtime.photo.reader import read_photo

pytestmark = pytest.mark.slow

BOWL = SAMPLES / "test" / "fig_bowl.jpg"
PATIENCE = 90_000  # milliseconds


class Visit:
    """One browser's page, all requests of which are recorded."""

    def __init__(self, context: Any, url: str) -> None:
        self.url, self.asked, self.errors = url, list[str](), list[str]()
        self.page = context.new_page()
        self.page.set_default_timeout(PATIENCE)
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.open()

    def open(self) -> None:
        """Load the page, or load it again."""
        self.page.goto(self.url)
        self.page.wait_for_selector("#photo-files")

    def drop(self, files: list[Path]) -> None:
        """Drop photographs, and wait until the last one is colored."""
        self.page.set_input_files("#photo-files input[type=file]", files)
        self.page.wait_for_selector(f"#photo-remarks :text('{files[-1].name}')")
        self.page.wait_for_selector("#photo-slider img")

    def stroke(self, where: str, x: float, y: float, far: float = 0.06) -> None:
        """Paint a short stroke at X and Y, shares of the canvas' width and height."""
        canvas = self.page.locator(f"{where} canvas")
        canvas.scroll_into_view_if_needed()
        box = canvas.bounding_box()
        left, top = box["x"] + x * box["width"], box["y"] + y * box["height"]
        self.page.mouse.move(left, top)
        self.page.mouse.down()
        self.page.mouse.move(left + far * box["width"], top, steps=6)
        self.page.mouse.up()

    def after(self) -> str:
        """Return the address of the picture after coloring."""
        found = self.page.locator("#photo-slider img").nth(1).get_attribute("src")
        return str(found)

    def wait_for_another(self, before: str) -> str:
        """Wait until the picture after coloring is not BEFORE any more."""
        self.page.wait_for_function(
            "before => document.querySelectorAll('#photo-slider img')[1]?.src !== before",
            arg=before,
        )
        return self.after()

    def picture(self, address: str) -> "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]":
        """Return a picture that the page shows, as sRGB."""
        answer = self.page.request.get(address)
        return read_photo(Path("seen.jpg"), answer.body()).rgb


@pytest.fixture
def visit(browser: Any, page_server: Server) -> Iterator[Callable[..., Visit]]:
    """`visit(**settings of the browser's context)` opens the page in a browser of its own."""
    contexts = []

    def opened(**settings: Any) -> Visit:
        context = browser.new_context(viewport={"width": 1400, "height": 900}, **settings)
        contexts.append(context)
        return Visit(context, page_server.url)

    yield opened
    for context in contexts:
        context.close()


def redness(rgb: "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]") -> float:
    """Return the mean a* of the bowl's right half."""
    height, width = rgb.shape[:2]
    part = rgb[int(0.42 * height) : int(0.6 * height), int(0.7 * width) : int(0.85 * width)]
    return float(rgb_to_lab(np.ascontiguousarray(part))[..., 1].mean())


def test_a_photograph_is_dropped_painted_compared_and_saved(
    visit: Callable[..., Visit], tmp_path: Path
) -> None:
    here = visit()
    here.drop([BOWL])
    page, first = here.page, here.after()
    plain = redness(here.picture(first))

    handle = page.get_by_test_id("slider")
    box = handle.bounding_box()
    middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(*middle)
    page.mouse.down()
    page.mouse.move(middle[0] - 120, middle[1], steps=5)
    page.mouse.up()
    there = handle.bounding_box()["x"]
    assert there < box["x"] - 60, "the slider moves"
    handle.focus()
    page.keyboard.press("ArrowRight")
    assert handle.bounding_box()["x"] > there + 10, "the keyboard moves it too"

    page.get_by_role("button", name="Red", exact=True).first.click()
    here.stroke("#photo-painter", 0.72, 0.5)
    second = here.wait_for_another(first)
    assert redness(here.picture(second)) > plain + 15, "a red stroke makes the bowl red"

    page.locator("#photo-painter .painter-undo").click()
    third = here.wait_for_another(second)
    assert abs(redness(here.picture(third)) - plain) < 1
    page.locator("#photo-painter .painter-redo").click()
    here.wait_for_another(third)

    page.click("#photo-strokes")
    with page.expect_download() as strokes:
        page.locator("#photo-results a[download]").first.click()
    strokes.value.save_as(tmp_path / "fig_bowl_hints.png")
    page.click("#photo-save")
    link = page.locator("#photo-results a[download='fig_bowl_colorized.jpg']")
    with page.expect_download() as saved:
        link.first.click()
    saved.value.save_as(tmp_path / "saved.jpg")
    told = ("--hints", tmp_path / "fig_bowl_hints.png")
    ran = run_command(colorize_run, BOWL, "-o", tmp_path / "by_command.jpg", *told)
    assert ran.returncode == 0, ran.stderr
    assert (tmp_path / "saved.jpg").read_bytes() == (tmp_path / "by_command.jpg").read_bytes()

    here.open()  # a reload loses nothing
    page.wait_for_selector("#photo-slider img")
    assert redness(here.picture(here.after())) > plain + 15
    assert here.errors == []
    hosts = {urlsplit(url).netloc for url in here.asked if not url.startswith(("data:", "blob:"))}
    assert hosts == {urlsplit(here.url).netloc}, "no request leaves this machine"


def test_the_keyboard_paints_and_pictures_have_words(visit: Callable[..., Visit]) -> None:
    here = visit()
    here.drop([BOWL])
    page, first = here.page, here.after()
    plain = redness(here.picture(first))
    canvas = page.locator("#photo-painter canvas")
    assert "fig_bowl.jpg" in canvas.get_attribute("aria-label")
    canvas.focus()
    for _ in range(5):
        page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("Space")
    second = here.wait_for_another(first)
    assert redness(here.picture(second)) > plain + 8
    page.keyboard.press("Control+z")
    third = here.wait_for_another(second)
    assert abs(redness(here.picture(third)) - plain) < 1
    for image in page.locator("img:visible").all():
        assert image.get_attribute("alt"), image.evaluate("each => each.outerHTML")
    for button in page.locator("#photo-painter button").all():
        assert button.inner_text() or button.get_attribute("aria-label")


def test_several_photographs_and_a_hostile_one(visit: Callable[..., Visit], tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.jpg"
    wrong.write_text("this is no picture")
    here = visit()
    here.page.set_input_files(
        "#photo-files input[type=file]", [wrong, SAMPLES / "test" / "cat.jpg", BOWL]
    )
    here.page.wait_for_selector("#photo-gallery img")
    here.page.wait_for_selector("#photo-refused :text('neither a picture nor a film')")
    assert here.page.locator("#photo-gallery button:has(img)").count() == 2
    here.page.locator("#photo-gallery button:has(img)").first.click()
    here.page.wait_for_selector("#photo-remarks :text('cat.jpg')")
    here.page.click("#photo-save-all")
    here.page.locator("#photo-results a[download='colorized.zip']").first.wait_for()
    there = visit()  # another browser sees none of them
    there.page.wait_for_timeout(500)
    assert there.page.locator("#photo-slider img").count() == 0


def film_of(frames: int, target: Path) -> Path:
    """Write a gray film of FRAMES frames in one scene: a pan over a photograph."""
    import av

    picture = np.asarray(Image.open(BOWL).convert("L").resize((400, 270)))
    with av.open(str(target), "w") as container:
        stream: Any = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        for number in range(frames):
            left = number * 60 // frames
            gray = np.ascontiguousarray(picture[10:250, left : left + 320])
            frame = av.VideoFrame.from_ndarray(np.dstack([gray] * 3), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return target


def test_a_film_is_painted_previewed_canceled_resumed_and_played(
    visit: Callable[..., Visit], tmp_path: Path
) -> None:
    film = film_of(100, tmp_path / "pan.mp4")
    here = visit()
    page = here.page
    page.get_by_role("tab", name="Film").click()
    page.set_input_files("#film-file input[type=file]", film)
    page.wait_for_selector("#film-scenes img")
    page.locator("#film-scenes button:has(img)").first.click()
    page.wait_for_selector("#film-painter canvas")
    page.wait_for_function("document.querySelector('#film-painter img.painter-picture').complete")
    here.stroke("#film-painter", 0.8, 0.55)
    page.get_by_text("painted", exact=False).first.wait_for()

    page.click("#film-preview")
    page.wait_for_selector("#film-clips video")
    assert page.locator("#film-clips video").count() == 2
    playing = (
        "() => [...document.querySelectorAll('#film-clips video')]"
        ".every(each => each.currentTime > 0 && each.videoWidth > 0)"
    )
    page.wait_for_function(playing)

    page.click("#film-run")
    page.wait_for_selector("#film-list progress, #film-list :text('running')")
    page.click("#film-cancel")
    page.wait_for_selector("#film-list :text('stopped')")
    here.open()  # a reload loses nothing
    page.get_by_role("tab", name="Film").click()
    page.wait_for_selector("#film-list :text('pan.mp4')")
    page.get_by_role("button", name="Go on").click()
    page.wait_for_selector("#film-result video")
    page.evaluate("document.querySelector('#film-result video').play()")
    page.wait_for_function("document.querySelector('#film-result video').currentTime > 0.2")
    assert page.evaluate("document.querySelector('#film-result video').videoWidth") == 320
    with page.expect_download() as saved:
        page.locator("#film-result a.download").click()
    assert saved.value.suggested_filename == "pan_colorized.mp4"
    saved.value.save_as(tmp_path / "colored.mp4")
    assert here.errors == []

    import av

    with av.open(str(tmp_path / "colored.mp4")) as container:
        decoded = container.decode(video=0)
        frames = [np.asarray(frame.to_ndarray(format="rgb24"), np.uint8) for frame in decoded]
    assert len(frames) == 100
    with Colorizer() as colorizer:
        for at, x in ((5, 287), (50, 260), (95, 233)):  # where the painted spot is by then
            spot = (slice(120, 145), slice(x - 15, x + 15))
            pair = (np.asarray(colorizer.image(frames[at]), np.uint8), frames[at])
            plain, red = (
                rgb_to_lab(np.ascontiguousarray(rgb[spot]))[..., 1].mean() for rgb in pair
            )
            assert red > plain + 3, "the stroke's color is carried through the scene"

    there = visit()
    there.page.get_by_role("tab", name="Film").click()
    there.page.wait_for_selector("#film-list :text('None yet')")


def test_nothing_overlaps_and_everything_is_readable(visit: Callable[..., Visit]) -> None:
    for scheme, width in (("light", 1400), ("dark", 1400), ("light", 420)):
        here = visit(color_scheme=scheme)
        here.page.set_viewport_size({"width": width, "height": 900})
        here.drop([BOWL])
        for tab in ("Photo", "Film"):
            here.page.get_by_role("tab", name=tab).click()
            assert here.page.evaluate(OVERLAPS) == [], (scheme, width, tab)
            assert here.page.evaluate(CONTRAST) == [], (scheme, width, tab)
            assert here.page.evaluate("document.documentElement.scrollWidth") <= width


OVERLAPS = """() => {
  const boxes = [];
  for (const each of document.querySelectorAll('body *')) {
    if (!each.checkVisibility({ opacityProperty: true, visibilityProperty: true })) continue;
    if (each.closest('[aria-hidden=true], .visually-hidden, .sr-only')) continue;
    if (each.matches('input, canvas')) boxes.push([each, each.getBoundingClientRect()]);
    for (const node of each.childNodes) {
      if (node.nodeType !== Node.TEXT_NODE || !node.data.trim() || each.closest('style')) continue;
      const range = document.createRange();
      range.selectNodeContents(node);
      boxes.push([each, range.getBoundingClientRect(), node.data]);
    }
  }
  const found = [];
  for (const [one, a, text] of boxes) for (const [other, b] of boxes) {
    if (one === other || !text || one.contains(other) || other.contains(one)) continue;
    if ([one, other].some(each => each.closest('[data-testid=slider]'))) continue;
    const wide = Math.min(a.right, b.right) - Math.max(a.left, b.left);
    const high = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
    if (wide > 3 && high > 3) found.push([text.trim(), other.outerHTML.slice(0, 150)]);
  }
  return found.slice(0, 5);
}"""
"""Returns words, and the words or controls that lie over them."""

CONTRAST = """() => {
  const light = color => {
    const parts = color.match(/[\\d.]+/g).map(Number);
    const [r, g, b] = parts.slice(0, 3).map(each => {
      const share = color.startsWith('color(') ? each : each / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = each => {
    for (let at = each; at; at = at.parentElement) {
      const color = getComputedStyle(at).backgroundColor;
      const alpha = color.startsWith('rgba') ? Number(color.match(/[\\d.]+/g)[3]) : 1;
      if (color !== 'transparent' && alpha > 0.9) return color;
    }
    return 'rgb(255, 255, 255)';
  };
  const found = [];
  for (const each of document.querySelectorAll('button, label, p, h3, span, a')) {
    if (!each.checkVisibility() || each.disabled || !each.textContent.trim()) continue;
    if (each.children.length || each.closest('footer, [data-testid=slider]')) continue;
    const one = light(getComputedStyle(each).color), other = light(behind(each));
    const ratio = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    if (ratio < 3) found.push([each.textContent.trim().slice(0, 40), ratio]);
  }
  return found;
}"""
"""Returns words that are hard to tell from what is behind them, with the contrast."""
