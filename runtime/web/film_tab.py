"""The Film tab: choose a film, paint a frame of each scene, see it, run it, take it home."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr

from ..errors import InputError
from . import texts
from .desk import Desk
from .film_desk import FilmDesk
from .jobs import BUSY, Job, Settings
from .owners import owner_of, told
from .painter import painter, shown
from .scenes import SceneView, known_scenes
from .strokes import read_painting

_SCRIPT = Path(__file__).with_name("film_list.js")


class FilmTab:
    """The tab's parts, and what each of them does."""

    def __init__(self, desk: FilmDesk, pictures: Desk) -> None:
        self._desk, self._pictures = desk, pictures
        self._lay_out()
        self._connect()

    def _lay_out(self) -> None:
        self.current = gr.State("")  # the id of the film that is shown
        self.scene = gr.State(0)  # the number of the scene that is painted; 0: none
        self.seen = gr.State("")  # what the timer found last
        self.timer = gr.Timer(1.0, active=False)
        with gr.Row(equal_height=False):
            with gr.Column(scale=1, min_width=260, elem_classes="side"):
                self._lay_out_side()
            with gr.Column(scale=4, min_width=480):
                self.welcome = gr.Markdown(texts.FILM_WELCOME, elem_id="film-welcome")
                with gr.Column(visible=False) as self.work:
                    self._lay_out_work()

    def _lay_out_side(self) -> None:
        self.file = gr.File(label=texts.DROP_FILM, type="filepath", height=130, elem_id="film-file")
        with gr.Group(visible=self._desk.has_media):
            self.listed = gr.Dropdown([], label=texts.LISTED, elem_id="film-listed")
            self.open = gr.Button(texts.OPEN_LISTED, size="sm", elem_id="film-open")
        self.films = gr.HTML(
            label=texts.FILMS,
            show_label=True,
            container=True,
            html_template='<div class="films" aria-live="polite"></div>',
            js_on_load=_SCRIPT.read_text(encoding="utf-8"),
            apply_default_css=False,
            elem_id="film-list",
        )
        with gr.Accordion(texts.COLORS, open=True):
            models = list(self._pictures.photos.models.paths)
            self.saturation = gr.Slider(
                0, 2, 1, step=0.05, label=texts.SATURATION, elem_id="film-saturation"
            )
            self.stabilize = gr.Checkbox(True, label=texts.STABILIZE)
            self.size = gr.Slider(0, 1024, 0, step=32, label=texts.SIZE)
            gr.Markdown(texts.SIZE_INFO, elem_classes="note")
            self.model = gr.Dropdown(
                models, value=models[0], label=texts.MODEL, visible=len(models) > 1
            )
            self.container = gr.Dropdown(
                ["mp4", "mkv", "mov", "webm"], value="mp4", label=texts.CONTAINER
            )

    def _lay_out_work(self) -> None:
        with gr.Row(equal_height=False):
            self.status = gr.Markdown("", elem_id="film-status")
            button: dict[str, Any] = {"scale": 0, "min_width": 190}
            self.run = gr.Button(texts.RUN, variant="primary", elem_id="film-run", **button)
            self.cancel = gr.Button(texts.CANCEL, elem_id="film-cancel", **button)
            self.delete = gr.Button(texts.DELETE, variant="stop", elem_id="film-delete", **button)
        self.result = gr.HTML("", elem_id="film-result")
        self.gallery = gr.Gallery(
            label=texts.SCENES,
            columns=6,
            height="auto",
            allow_preview=False,
            object_fit="cover",
            interactive=False,
            buttons=[],
            elem_id="film-scenes",
        )
        with gr.Row(visible=False, equal_height=False) as self.paint_row:
            with gr.Column(min_width=320):
                self.painter = painter(
                    label=texts.PAINT_FRAME,
                    show_label=True,
                    container=True,
                    elem_id="film-painter",
                )
                with gr.Row():
                    self.reference = gr.UploadButton(
                        texts.USE_PICTURE, size="sm", type="filepath", elem_id="film-reference"
                    )
                    self.forget = gr.Button(texts.FORGET, size="sm", elem_id="film-forget")
            with gr.Column(min_width=320):
                self.preview = gr.Button(texts.PREVIEW, elem_id="film-preview")
                self.clips = gr.HTML(texts.no_clips(), elem_id="film-clips")

    @property
    def _settings(self) -> list[Any]:
        return [self.model, self.size, self.saturation, self.stabilize, self.container]

    @property
    def _state(self) -> list[Any]:
        """What follows the state of the film, in the order of `_stated`."""
        return [
            self.current,
            self.films,
            self.status,
            self.run,
            self.cancel,
            self.delete,
            self.result,
            self.seen,
            self.timer,
        ]

    @property
    def _shown(self) -> list[Any]:
        """All that shows a film, in the order of `_show`."""
        return [
            *self._state,
            self.welcome,
            self.work,
            self.gallery,
            self.scene,
            self.paint_row,
            self.clips,
            *self._settings,
        ]

    def _connect(self) -> None:
        quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
        slow: dict[str, Any] = {"api_visibility": "private", "concurrency_limit": 4}
        taken = [self.file, *self._shown]
        scenes: dict[str, Any] = {
            "fn": told(self._find_scenes),
            "inputs": [self.current],
            "outputs": [self.gallery],
            **slow,
        }
        self.file.upload(
            told(self._take),
            [self.file, *self._settings],
            taken,
            **quiet,
        ).success(**scenes)
        self.open.click(
            told(self._take_listed), [self.listed, *self._settings], self._shown, **quiet
        ).success(**scenes)
        self.films.chosen(told(self._choose), [self.films], self._shown, **quiet).success(**scenes)
        self.gallery.select(
            told(self._choose_scene),
            [self.current],
            [self.scene, self.paint_row, self.painter, self.clips],
            **quiet,
        )
        self.painter.painted(
            told(self._paint),
            [self.current, self.scene, self.painter],
            [self.gallery],
            trigger_mode="always_last",
            **quiet,
        )
        scene = [self.current, self.scene]
        self.reference.upload(
            told(self._use_picture), [*scene, self.reference], [self.gallery], **quiet
        )
        self.forget.click(told(self._forget), scene, [self.gallery, self.painter], **quiet)
        self.preview.click(told(self._preview), [*scene, *self._settings], [self.clips], **slow)
        self.run.click(told(self._run), [self.current, *self._settings], self._state, **quiet)
        self.cancel.click(told(self._cancel), [self.current], self._state, **quiet)
        self.delete.click(told(self._delete), [self.current], self._shown, **quiet)
        self.timer.tick(told(self._tick), [self.current, self.seen], self._state, **quiet)

    def restore(self, request: gr.Request) -> list[Any]:
        """Show the newest film: nothing is lost by a reload of the page."""
        mine = self._desk.jobs.of(owner_of(request))
        there = [(medium.name, medium.id) for medium in self._desk.listed()]
        return [*self._show(mine[0] if mine else None, mine), gr.Dropdown(there, value=None)]

    @property
    def restored(self) -> list[Any]:
        """What `restore` fills."""
        return [*self._shown, self.listed]

    def _find(self, job: str, request: gr.Request) -> Job:
        if not job:
            raise InputError("choose a film first")
        return self._desk.jobs.find(job, owner_of(request))

    def _take(self, request: gr.Request, path: str | None, *chosen: Any) -> list[Any]:
        if path is None:
            return [gr.skip()] * (1 + len(self._shown))
        owner = owner_of(request)
        job = self._desk.take(Path(path), _settings(*chosen), owner)
        return [None, *self._show(job, self._desk.jobs.of(owner))]

    def _take_listed(self, request: gr.Request, medium: str | None, *chosen: Any) -> list[Any]:
        if not medium:
            raise InputError("choose a film first")
        owner = owner_of(request)
        job = self._desk.take_listed(medium, _settings(*chosen), owner)
        return self._show(job, self._desk.jobs.of(owner))

    def _choose(self, sent: Any, request: gr.Request) -> list[Any]:
        chosen = sent.get("chosen") if isinstance(sent, dict) else None
        job = self._find(str(chosen or ""), request)
        return self._show(job, self._desk.jobs.of(job.owner))

    def _show(self, job: Job | None, mine: Sequence[Job]) -> list[Any]:
        """Return the values of `_shown`."""
        if job is None:
            rest = [gr.Markdown(visible=True), gr.Column(visible=False), []]
            return [*self._stated(None, mine), *rest, 0, gr.Row(visible=False), ""] + [
                gr.skip()
            ] * len(self._settings)
        chosen = job.settings
        views = known_scenes(job)
        return [
            *self._stated(job, mine),
            gr.Markdown(visible=False),
            gr.Column(visible=True),
            self._gallery(views or []),
            0,
            gr.Row(visible=False),
            texts.no_clips(),
            chosen.model,
            chosen.size or 0,
            chosen.saturation,
            chosen.stabilize,
            chosen.container,
        ]

    def _stated(self, job: Job | None, mine: Sequence[Job]) -> list[Any]:
        """Return the values of `_state`."""
        films = {
            "films": [
                {
                    "id": each.id,
                    "name": each.name,
                    "text": texts.state_of(each),
                    "share": each.progress.share,
                    "busy": each.state in BUSY,
                }
                for each in mine
            ],
            "current": job.id if job else "",
        }
        busy = job is not None and job.state in BUSY
        begun = job is not None and job.state in ("canceled", "failed")
        return [
            job.id if job else "",
            films,
            texts.film_status(job) if job else "",
            gr.Button(texts.RESUME if begun else texts.RUN, interactive=not busy),
            gr.Button(interactive=busy),
            gr.Button(interactive=not busy),
            texts.film_result(job) if job else "",
            _seen(job),
            gr.Timer(active=any(each.state in BUSY for each in mine)),
        ]

    def _gallery(self, views: Sequence[SceneView]) -> list[tuple[str, str]]:
        return [(str(view.thumbnail), texts.scene_caption(view)) for view in views]

    def _find_scenes(
        self,
        job: str,
        request: gr.Request,
        progress: gr.Progress = gr.Progress(),  # noqa: B008
    ) -> Any:
        found = self._find(job, request)
        total = found.progress.total

        def on_progress(frames: int) -> None:
            progress((frames, total), desc=texts.FINDING_SCENES, unit="frames")

        return self._gallery(self._desk.scenes(found, on_progress))

    def _choose_scene(self, job: str, request: gr.Request, event: gr.SelectData) -> list[Any]:
        found = self._find(job, request)
        number = event.index + 1 if isinstance(event.index, int) else 0
        view = self._desk.scene(found, number)
        return [number, gr.Row(visible=True), self._canvas(found, view), texts.no_clips()]

    def _canvas(self, job: Job, view: SceneView) -> Any:
        picture = self._desk.picture(view)
        return shown(
            f"{job.id} {view.number}",
            self._pictures.picture(picture),
            (picture.shape[0], picture.shape[1]),
            texts.frame_of(job, view),
            self._desk.strokes(job, view.frame),
        )

    def _paint(self, job: str, scene: int, painting: Any, request: gr.Request) -> Any:
        if not job or not scene or painting is None:
            return gr.skip()
        given = read_painting(painting)
        if given.id != f"{job} {scene}":  # sent before another scene was chosen
            return gr.skip()
        found = self._find(job, request)
        if not self._desk.paint(found, self._desk.scene(found, scene), given.strokes):
            return gr.skip()
        return self._gallery(known_scenes(found) or [])

    def _use_picture(self, job: str, scene: int, path: str | None, request: gr.Request) -> Any:
        found = self._find(job, request)
        if path is not None:
            frame = self._desk.scene(found, scene).frame
            self._desk.use_picture(found, frame, Path(path), found.owner)
            gr.Info(texts.PICTURE_USED, duration=4)
        return self._gallery(known_scenes(found) or [])

    def _forget(self, job: str, scene: int, request: gr.Request) -> Any:
        found = self._find(job, request)
        view = self._desk.scene(found, scene)
        self._desk.forget(found, view.frame)
        return self._gallery(known_scenes(found) or []), self._canvas(found, view)

    def _preview(
        self,
        request: gr.Request,
        job: str,
        scene: int,
        progress: gr.Progress = gr.Progress(),  # noqa: B008
        *chosen: Any,
    ) -> str:
        found = self._find(job, request)
        if found.state not in BUSY:
            # The container stays: the result may be here already.
            settings = replace(_settings(*chosen), container=found.settings.container)
            found = self._desk.jobs.configure(job, settings, found.owner)
        view = self._desk.scene(found, scene)

        def on_progress(frames: int, total: int | None) -> None:
            progress((frames, total), desc=texts.PREVIEWING, unit="frames")

        return texts.clips(found, view, self._desk.preview(found, view, on_progress))

    def _run(self, request: gr.Request, job: str, *chosen: Any) -> list[Any]:
        found = self._find(job, request)
        self._desk.jobs.configure(job, _settings(*chosen), found.owner)
        found = self._desk.films.queue(job, found.owner)
        return self._stated(found, self._desk.jobs.of(found.owner))

    def _cancel(self, job: str, request: gr.Request) -> list[Any]:
        found = self._find(job, request)
        found = self._desk.films.cancel(job, found.owner)
        return self._stated(found, self._desk.jobs.of(found.owner))

    def _delete(self, job: str, request: gr.Request) -> list[Any]:
        found = self._find(job, request)
        self._desk.jobs.delete(job, found.owner)
        left = self._desk.jobs.of(found.owner)
        return self._show(left[0] if left else None, left)

    def _tick(self, job: str, seen: str, request: gr.Request) -> list[Any]:
        mine = self._desk.jobs.of(owner_of(request))
        found = next((each for each in mine if each.id == job), None)
        values = self._stated(found, mine)
        if _seen(found) == seen:  # a player that is sent again begins anew
            values[self._state.index(self.result)] = gr.skip()
        return values


def _seen(job: Job | None) -> str:
    return f"{job.id} {job.state}" if job else ""


def _settings(model: Any, size: Any, saturation: Any, stabilize: Any, container: Any) -> Settings:
    """Return what the page's controls say; a working size of 0 is the model's own."""
    return Settings(
        model=str(model),
        size=int(size) or None,
        saturation=float(saturation),
        stabilize=bool(stabilize),
        container=container,
    )
