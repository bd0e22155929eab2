"""The page: its tabs, its looks, and what happens when it is loaded."""

from pathlib import Path
from typing import Any

import gradio as gr

from . import texts
from .api import Api
from .desk import Desk
from .film_desk import FilmDesk
from .film_tab import FilmTab
from .photo_tab import PhotoTab

STYLE = Path(__file__).with_name("page.css")
SCRIPT = Path(__file__).with_name("page.js")


def build(desk: Desk, films: FilmDesk) -> gr.Blocks:
    """Return the page; nothing of it is fetched from other servers."""
    page = gr.Blocks(title=texts.TITLE, analytics_enabled=False, fill_width=True)
    with page:
        with gr.Tabs(elem_id="tabs"):
            with gr.Tab(texts.PHOTO, id="photo"):
                photo = PhotoTab(desk)
            with gr.Tab(texts.FILM, id="film"):
                film = FilmTab(films, desk)
        Api(desk, films).publish()
        restore, inputs, outputs = photo.restoring
        quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
        page.load(restore, inputs, outputs, **quiet)
        page.load(film.restore, None, film.restored, **quiet)
    page.queue(default_concurrency_limit=8, max_size=200)
    return page


def looks() -> dict[str, Any]:
    """Return how the page looks: what Gradio's `launch` and `mount_gradio_app` take."""
    fonts = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif")
    theme = gr.themes.Default(
        primary_hue=gr.themes.colors.teal,
        neutral_hue=gr.themes.colors.slate,
        font=fonts,
        font_mono=("ui-monospace", "Consolas", "monospace"),
    )
    theme.set(  # words on Gradio's own lighter tones are hard to read
        body_text_color_subdued="*neutral_500",
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_dark="*primary_700",
        button_primary_background_fill_hover_dark="*primary_600",
        button_cancel_background_fill="*neutral_600",
        button_cancel_background_fill_hover="*neutral_700",
    )
    return {"theme": theme, "css_paths": [STYLE], "js": SCRIPT.read_text(encoding="utf-8")}
