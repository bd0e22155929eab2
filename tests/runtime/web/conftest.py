"""One server and one browser for all tests of the page."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers.page import Server, running_server

from colorize.runtime.models.catalog import SAMPLES

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


@pytest.fixture(scope="session")
def page_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of the page, whose --media folder has the sample clip."""
    folder = tmp_path_factory.mktemp("web")
    media = folder / "media"
    media.mkdir()
    shutil.copy(SAMPLES / "clip.mp4", media)
    (folder / "secret.txt").write_text("a secret of this machine\n")
    shutil.copy(SAMPLES / "test" / "cat.jpg", folder / "secret.jpg")
    (media / "link.mp4").symlink_to(folder / "secret.txt")
    with running_server(folder / "work", "--media", media, "--max-upload", "8MB") as server:
        yield server


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A headless Chromium."""
    playwright = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("no chromium or google-chrome is installed")
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def secret_of(page_server: Server) -> Path:
    """A file beside the server's workspace that nobody may read."""
    return page_server.workspace.parent / "secret.txt"
