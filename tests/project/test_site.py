"""The documentation site: built from the pages, and read in a browser without a network."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).parents[2]
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "-q", "--strict", "-d", str(folder)]
    quiet = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    built = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, env=quiet
    )
    assert built.returncode == 0, built.stdout + built.stderr
    return folder


def test_every_page_and_what_it_links_to_are_there(site: Path) -> None:
    pages = {path.stem for path in (ROOT / "docs").glob("*.md")}
    assert {path.stem for path in site.glob("*.html")} >= pages
    assert "Semantic Versioning" in (site / "repository" / "CHANGELOG.html").read_text()
    assert (site / "repository" / "runtime" / "run.schema.json").is_file()
    options = (site / "cli.html").read_text(encoding="utf-8")
    assert "--extract-references" in options
    classes = (site / "api.html").read_text(encoding="utf-8")
    assert "colorize.runtime.colorizer.Colorizer.video" in classes
    for page in site.rglob("*.html"):  # the asterisks of L*, a* and b* are no emphasis
        assert not re.search("<em>[ ,;:.)]", page.read_text(encoding="utf-8")), page


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium or google-chrome is installed")
def test_it_is_searched_from_the_disk_and_asks_no_server(site: Path) -> None:
    asked = []
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.goto((site / "architecture.html").as_uri())
        page.keyboard.press("s")
        page.locator(".md-search__input").wait_for()
        page.keyboard.type("saturation")
        found = page.locator(".md-search-result__item a").first
        found.wait_for()
        assert ".html" in (found.get_attribute("href") or "")
        browser.close()
    assert [address for address in asked if not address.startswith(("file:", "data:"))] == []
