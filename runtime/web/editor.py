"""The editor on which colors are painted: Gradio's, with limits on what it takes."""

import re
import threading
from collections import OrderedDict
from typing import Any

import gradio as gr
import numpy as np
from gradio.components.base import server
from gradio.components.image_editor import AcceptBlobs, EditorData
from PIL import Image

from ..color import U8
from ..errors import ColorizeError
from .photos import layer_of

COLORS = [
    "#b3261e",  # red
    "#e0762b",  # orange
    "#e6c229",  # yellow
    "#3f7d3a",  # leaves
    "#2f6db3",  # sky
    "#6a3d9a",  # violet
    "#8a5a3b",  # wood
    "#d9a58a",  # skin
    "#8c8c8c",  # gray: no color
]
_MOST_LAYERS = 4
_MOST_WAITING = 64  # layers of all sessions that were sent, but not used yet
_MOST_BYTES = 32 << 20
_KEY = re.compile(r"[a-z0-9]{4,32}")


class HintEditor(gr.ImageEditor):
    """An editor whose value is its painted layers alone, uint8 (h, w, 4) each."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(
            type="numpy",
            image_mode="RGBA",
            sources=(),
            transforms=(),
            buttons=["fullscreen"],
            brush=gr.Brush(
                default_size=12, colors=list(COLORS), default_color=COLORS[0], color_mode="defaults"
            ),
            eraser=gr.Eraser(default_size=24),
            layers=gr.LayerOptions(allow_additional_layers=False, layers=["Colors"]),
            format="png",
            **settings,
        )
        self._sent: OrderedDict[str, dict[int, bytes]] = OrderedDict()
        self._lock = threading.Lock()

    def get_block_name(self) -> str:
        """Return the name of the part of Gradio's page that shows it."""
        return "imageeditor"

    @server  # type: ignore[untyped-decorator]
    def accept_blobs(self, data: AcceptBlobs) -> None:
        """Keep a layer that the browser sends ahead of an event; what else it sends is not used."""
        key, index = str(data.data["id"]), data.data["index"]
        if data.data["type"] != "layer" or not _KEY.fullmatch(key) or len(data.files) != 1:
            return
        number, content = int(index or 0), data.files[0][1]
        if not 0 <= number < _MOST_LAYERS or len(content) > _MOST_BYTES:
            raise gr.Error("That is more than can be painted.")
        with self._lock:
            self._sent.setdefault(key, {})[number] = content
            self._sent.move_to_end(key)
            while len(self._sent) > _MOST_WAITING:
                self._sent.popitem(last=False)

    def preprocess(self, payload: EditorData | None) -> list[U8] | None:  # type: ignore[override]
        """Return the painted layers; None where there is no picture."""
        if payload is None:
            return None
        if payload.id is not None:
            with self._lock:
                sent = self._sent.pop(payload.id, {})
            contents = [sent[number] for number in sorted(sent)]
        else:
            contents = [_read(layer.path) for layer in payload.layers[:_MOST_LAYERS]]
        try:
            return [layer_of(content) for content in contents]
        except ColorizeError as error:
            raise gr.Error(str(error)) from error


def _read(path: str) -> bytes:
    from pathlib import Path

    return Path(path).read_bytes()


def shown(picture: U8, layers: list[U8]) -> dict[str, Any]:
    """Return what an editor shows: PICTURE (h, w, 3), and what was painted on it."""
    whole = Image.fromarray(picture).convert("RGBA")
    for layer in layers:
        whole.alpha_composite(Image.fromarray(layer))
    return {"background": picture, "layers": layers, "composite": np.asarray(whole)}
