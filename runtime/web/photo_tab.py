"""The Photo tab: drop photographs, paint colors, compare, download."""

from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from ..errors import ColorizeError, InputError
from . import texts
from .desk import Desk
from .media import Medium
from .owners import owner_of, told
from .painter import painter, shown
from .photos import Settings
from .strokes import read_painting

_Updates = list[Any]


def build(desk: Desk) -> "PhotoTab":
    """Lay the tab out and connect it, inside a gr.Blocks and a gr.Tab."""
    return PhotoTab(desk)


class PhotoTab:
    """The tab's parts, and what each of them does."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._lay_out()
        self._connect()

    def _lay_out(self) -> None:
        models = self._desk.photos.models
        self.current = gr.State("")  # the id of the photograph that is shown
        with gr.Row(equal_height=False):
            with gr.Column(scale=1, min_width=260, elem_classes="side"):
                self.files = gr.File(
                    label=texts.DROP_PHOTOS,
                    file_count="multiple",
                    type="filepath",
                    height=150,
                    elem_id="photo-files",
                )
                self.gallery = gr.Gallery(
                    label=texts.OPEN_PHOTOS,
                    columns=2,
                    height="auto",
                    allow_preview=False,
                    object_fit="cover",
                    visible=False,
                    interactive=False,
                    buttons=[],
                    elem_id="photo-gallery",
                )
                with gr.Accordion(texts.COLORS, open=True):
                    self.saturation = gr.Slider(
                        0, 2, 1, step=0.05, label=texts.SATURATION, elem_id="photo-saturation"
                    )
                    self.refine = gr.Checkbox(False, label=texts.REFINE)
                    self.size = gr.Slider(0, 1024, 0, step=32, label=texts.SIZE)
                    gr.Markdown(texts.SIZE_INFO, elem_classes="note")
                    self.model = gr.Dropdown(
                        list(models.paths),
                        value=models.default,
                        label=texts.MODEL,
                        visible=len(models.paths) > 1,
                    )
            with gr.Column(scale=4, min_width=480):
                self.welcome = gr.Markdown(texts.PHOTO_WELCOME, elem_id="photo-welcome")
                with gr.Row(visible=False, equal_height=False) as self.work:
                    with gr.Column(min_width=320):
                        self.painter = painter(
                            label=texts.PAINT,
                            show_label=True,
                            container=True,
                            elem_id="photo-painter",
                        )
                        self.strokes = gr.Button(
                            texts.SAVE_STROKES, size="sm", elem_id="photo-strokes"
                        )
                    with gr.Column(min_width=320):
                        self.slider = gr.ImageSlider(
                            label=texts.BEFORE_AFTER,
                            type="filepath",
                            interactive=False,
                            max_height=560,
                            buttons=["fullscreen"],
                            elem_id="photo-slider",
                        )
                        with gr.Row():
                            self.save = gr.Button(
                                texts.SAVE, variant="primary", elem_id="photo-save"
                            )
                            self.save_all = gr.Button(
                                texts.SAVE_ALL, visible=False, elem_id="photo-save-all"
                            )
                        self.results = gr.File(
                            label=texts.RESULTS,
                            file_count="multiple",
                            interactive=False,
                            visible=False,
                            elem_id="photo-results",
                        )
                self.remarks = gr.Markdown("", elem_id="photo-remarks")
                self.refused = gr.Markdown("", elem_id="photo-refused")

    @property
    def _settings(self) -> list[Any]:
        return [self.model, self.size, self.saturation, self.refine]

    @property
    def _shown(self) -> list[Any]:
        return [
            self.current,
            self.gallery,
            self.welcome,
            self.work,
            self.painter,
            self.slider,
            self.save_all,
            self.results,
            self.remarks,
        ]

    def _connect(self) -> None:
        quiet: dict[str, Any] = {
            "api_visibility": "private",
            "show_progress": "hidden",
            "concurrency_limit": 4,
        }
        self.files.upload(
            told(self._take),
            [self.files, *self._settings],
            [self.files, self.refused, *self._shown],
            **(quiet | {"show_progress": "minimal"}),
            show_progress_on=[self.files],
        )
        self.gallery.select(told(self._choose), self._settings, self._shown, **quiet)
        self.painter.painted(
            told(self._paint),
            [self.current, self.painter, *self._settings],
            [self.slider, self.remarks],
            trigger_mode="always_last",
            **quiet,
        )
        changed = [self.saturation.change, self.size.change, self.refine.change, self.model.change]
        gr.on(
            changed,
            told(self._recolor),
            [self.current, *self._settings],
            [self.slider, self.remarks],
            trigger_mode="always_last",
            **quiet,
        )
        saving = {"outputs": [self.results, self.remarks], **quiet, "show_progress": "minimal"}
        self.save.click(told(self._save), [self.current, *self._settings], **saving)
        self.save_all.click(told(self._save_all), self._settings, **saving)
        self.strokes.click(told(self._save_strokes), [self.current], **saving)

    def restore(self, request: gr.Request, *chosen: Any) -> _Updates:
        """Show what was open before a reload of the page."""
        mine = self._desk.open_photos(owner_of(request))
        return self._show(mine[-1] if mine else None, mine, chosen)

    @property
    def restoring(self) -> tuple[Callable[..., Any], list[Any], list[Any]]:
        """What the page calls when it is loaded, with its inputs and outputs."""
        return self.restore, self._settings, self._shown

    def _take(self, request: gr.Request, paths: list[str] | None, *chosen: Any) -> _Updates:
        owner, newest = owner_of(request), None
        refused = list[str]()
        for path in paths or ():
            try:
                newest = self._desk.take(Path(path), owner)
            except ColorizeError as error:
                refused.append(str(error))
                gr.Warning(escape(str(error)), title=texts.NOT_OPENED)
        # Stays when the warnings have gone, until photographs are dropped again.
        remarks = texts.remarks(texts.NOT_OPENED, refused) if refused else ""
        if newest is None:
            return [None, remarks, *[gr.skip()] * len(self._shown)]
        mine = self._desk.open_photos(owner)
        return [None, remarks, *self._show(newest, mine, chosen)]

    def _choose(self, request: gr.Request, event: gr.SelectData, *chosen: Any) -> _Updates:
        mine = self._desk.open_photos(owner_of(request))
        if not isinstance(event.index, int) or not 0 <= event.index < len(mine):
            raise InputError("this photograph is no longer open; drop it again")
        return self._show(mine[event.index], mine, chosen)

    def _show(self, medium: Medium | None, mine: Sequence[Medium], settings: Any) -> _Updates:
        if medium is None:
            return ["", *[gr.skip()] * (len(self._shown) - 1)]
        desk = self._desk
        before, after, remarks = desk.seen(medium, _settings(*settings))
        several = len(mine) > 1
        pictures = [(desk.thumbnail(each), each.name) for each in mine] if several else []
        return [
            medium.id,
            gr.Gallery(
                pictures,
                visible=several,
                selected_index=[each.id for each in mine].index(medium.id) if several else None,
            ),
            gr.Markdown(visible=False),
            gr.Row(visible=True),
            self._canvas(medium),
            (before, after),
            gr.Button(visible=several),
            gr.File(None, visible=False),
            texts.remarks(medium.name, remarks),
        ]

    def _canvas(self, medium: Medium) -> Any:
        height, width = self._desk.opened(medium).canvas.shape
        return shown(
            medium.id,
            self._desk.canvas(medium),
            (height, width),
            medium.name,
            self._desk.strokes(medium),
        )

    def _paint(self, request: gr.Request, current: str, painting: Any, *chosen: Any) -> Any:
        if not current or painting is None:
            return gr.skip(), gr.skip()
        given = read_painting(painting)
        if given.id != current:  # sent before another photograph was chosen
            return gr.skip(), gr.skip()
        medium = self._desk.find(current, owner_of(request))
        if not self._desk.paint(medium, given.strokes):
            return gr.skip(), gr.skip()
        return self._seen(medium, _settings(*chosen))

    def _recolor(self, request: gr.Request, current: str, *chosen: Any) -> Any:
        if not current:
            return gr.skip(), gr.skip()
        medium = self._desk.find(current, owner_of(request))
        return self._seen(medium, _settings(*chosen))

    def _seen(self, medium: Medium, settings: Settings) -> Any:
        before, after, remarks = self._desk.seen(medium, settings)
        return (before, after), texts.remarks(medium.name, remarks)

    def _save(self, request: gr.Request, current: str, *chosen: Any) -> Any:
        medium = self._desk.find(current, owner_of(request))
        return self._saved([medium], _settings(*chosen))

    def _save_all(self, request: gr.Request, *chosen: Any) -> Any:
        mine = self._desk.open_photos(owner_of(request))
        return self._saved(mine, _settings(*chosen))

    def _saved(self, media: Sequence[Medium], settings: Settings) -> Any:
        files, said = self._desk.save(media, settings)
        return gr.File([str(file) for file in files], visible=True), texts.remarks("", said)

    def _save_strokes(self, current: str, request: gr.Request) -> Any:
        medium = self._desk.find(current, owner_of(request))
        file = self._desk.save_layer(medium)
        return gr.File([str(file)], visible=True), texts.STROKES_SAVED


def _settings(model: Any, size: Any, saturation: Any, refine: Any) -> Settings:
    """Return what the page's controls say; a working size of 0 is the model's own."""
    return Settings(
        model=str(model),
        size=int(size) or None,
        saturation=float(saturation),
        refine=bool(refine),
    )
