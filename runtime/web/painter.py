"""The painter of the page: a picture on which the user paints strokes of color."""

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import gradio as gr

from .strokes import Stroke

COLORS = {
    "Red": "#b3261e",
    "Orange": "#e0762b",
    "Yellow": "#e6c229",
    "Green of leaves": "#3f7d3a",
    "Blue of the sky": "#4f8fd0",
    "Navy blue": "#24407a",
    "Violet": "#6a3d9a",
    "Brown of wood": "#8a5a3b",
    "Skin": "#d9a58a",
    "Gray, without color": "#8c8c8c",
}
_SCRIPT = Path(__file__).with_name("painter.js")


def painter(**settings: Any) -> gr.HTML:
    """Return a painter without a picture; what it sends is for `read_painting`.

    Gradio's own editor sends picture and layers several times for each stroke, which takes
    seconds. This one sends the strokes as numbers.
    """
    script = _SCRIPT.read_text(encoding="utf-8")
    return gr.HTML(
        html_template='<div class="painter"></div>',
        js_on_load=f"const names = {json.dumps(COLORS)};\n{script}",
        apply_default_css=False,
        **settings,
    )


def shown(
    identity: str, picture: str, size: tuple[int, int], alt: str, strokes: Iterable[Stroke]
) -> Any:
    """Return what makes a painter show the file PICTURE of SIZE (h, w), with STROKES on it."""
    return {
        "id": identity,
        "picture": {"path": picture, "meta": {"_type": "gradio.FileData"}},
        "height": size[0],
        "width": size[1],
        "alt": alt,
        "strokes": [asdict(stroke) for stroke in strokes],
    }
