"""Bring what the pages link to outside docs/ into the site, so that it is whole without a network.

A link to ../CHANGELOG.md leads to a page below repository/, one to ../setup.py to a copy there.
"""

import os
import re
from pathlib import Path, PurePosixPath
from urllib.parse import urldefrag

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
_FOREIGN = re.compile(r"https?://[^\"\s]+/iframe-worker/shim")
_LINK = re.compile(r"(?<=\]\()(?!\w+:|#|/)([^)\s]+)(?=\))")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add every file that a page links to outside docs/, and what those that are pages link to."""
    waiting = [Path(file.abs_src_path or "") for file in files.documentation_pages()]
    while waiting:
        page = waiting.pop()
        for target in _LINK.findall(page.read_text(encoding="utf-8")):
            source = (page.parent / urldefrag(target).url).resolve()
            name = _name(source)
            if not source.is_file() or name in files.src_uris:
                continue
            files.append(File.generated(config, name, abs_src_path=str(source)))
            if source.suffix == ".md":
                waiting.append(source)
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001
    """Turn links between files of the repository into links between files of the site."""
    source = Path(page.file.abs_src_path or "").resolve()
    here = PurePosixPath(page.file.src_uri).parent

    def turned(match: re.Match[str]) -> str:
        target, heading = urldefrag(match[0])
        found = (source.parent / target).resolve()
        if not target or not found.is_file() or _name(found) not in files.src_uris:
            return match[0]
        name = os.path.relpath(_name(found), here).replace(os.sep, "/")
        return f"{name}#{heading}" if heading else name

    return _LINK.sub(turned, markdown)


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:  # noqa: ARG001
    """Let the page load its stand-in for workers from the site, not from another server."""
    here = os.path.relpath("site_search.js", PurePosixPath(page.file.dest_uri).parent)
    return _FOREIGN.sub(here.replace(os.sep, "/"), output)


def _name(source: Path) -> str:
    """Return where a file of the repository lies in the site, below docs/."""
    if source.is_relative_to(DOCS):
        return source.relative_to(DOCS).as_posix()
    if source.is_relative_to(ROOT):
        return f"repository/{source.relative_to(ROOT).as_posix()}"
    return source.as_posix()
