"""The page as a program: what gradio_client and curl may call, by name."""

import math
from pathlib import Path
from typing import Any

import gradio as gr
from gradio import FileData
from gradio.events import api as publish

from ..errors import ArgumentError, InputError
from . import photos, texts
from .desk import Desk
from .film_desk import FilmDesk
from .jobs import Job, Settings
from .owners import owner_of, told
from .scenes import SceneView, known_scenes


class Api:
    """The functions that programs call; each is public under its own name."""

    def __init__(self, desk: Desk, films: FilmDesk) -> None:
        self._desk, self._films = desk, films

    def publish(self) -> None:
        """Make them callable, inside a gr.Blocks."""
        for function in (
            self.color_photo,
            self.list_media,
            self.add_film,
            self.list_films,
            self.film,
            self.film_scenes,
            self.set_reference,
            self.preview_scene,
            self.run_film,
            self.cancel_film,
            self.remove_film,
        ):
            publish(told(function, plain=True), api_name=function.__name__, concurrency_limit=4)

    def color_photo(
        self,
        request: gr.Request,
        photo: FileData,
        hints: FileData | None = None,
        saturation: float = 1.0,
        size: int = 0,
        refine: bool = False,
        model: str = "",
    ) -> tuple[FileData, list[str]]:
        """Color a photograph; return the file and remarks, as colorize-run writes and says them.

        HINTS is a picture with transparency: colors painted on a layer of the photograph's size or
        aspect. SIZE 0 is the model's own working size, MODEL "" the one that the page begins with.
        """
        owner = owner_of(request)
        medium = self._desk.library.receive(_path(photo), _path(photo).name, owner)
        if medium.kind != "photo":
            raise InputError(f"{medium.name}: is a film; give it to add_film")
        settings = photos.Settings(
            model=model or self._desk.photos.models.default,
            size=_size(size),
            saturation=_number(saturation),
            refine=bool(refine),
        )
        layer = None
        if hints is not None:
            layer = self._desk.library.receive(_path(hints), _path(hints).name, owner).path
        file, said = self._desk.finish(medium, settings, layer)
        return _sent(file), list(said)

    def list_media(self) -> list[dict[str, Any]]:
        """Return the films in the server's --media folders: id, name, kind, size in bytes."""
        return [medium.public() for medium in self._films.listed()]

    def add_film(
        self,
        request: gr.Request,
        film: FileData | None = None,
        medium: str = "",
        saturation: float = 1.0,
        size: int = 0,
        stabilize: bool = True,
        container: str = "mp4",
        model: str = "",
    ) -> dict[str, Any]:
        """Add a film, an upload or one of list_media by its id; return it as film does."""
        chosen: Any = container
        settings = Settings(
            model=model or self._desk.photos.models.default,
            size=_size(size),
            saturation=_number(saturation),
            stabilize=bool(stabilize),
            container=chosen,
        )
        owner = owner_of(request)
        if (film is None) == (not medium):
            raise ArgumentError("give either a film to upload or the id of a medium")
        if film is not None:
            return _shown(self._films.take(_path(film), settings, owner))
        return _shown(self._films.take_listed(medium, settings, owner))

    def list_films(self, request: gr.Request) -> list[dict[str, Any]]:
        """Return your films, the newest first."""
        return [_shown(job) for job in self._films.jobs.of(owner_of(request))]

    def film(self, request: gr.Request, job: str) -> dict[str, Any]:
        """Return a film: its state, progress, settings, and where its result is once it is done."""
        return _shown(self._find(job, request))

    def film_scenes(self, request: gr.Request, job: str) -> list[dict[str, Any]]:
        """Return the scenes of a film, which are looked for if that was not done yet."""
        found = self._find(job, request)
        return [_scene(view) for view in self._films.scenes(found, lambda _: None)]

    def set_reference(
        self,
        request: gr.Request,
        job: str,
        frame: int,
        picture: FileData | None = None,
    ) -> list[dict[str, Any]]:
        """Give a frame its colors by a picture of it, or none; return the scenes."""
        found, frame = self._find(job, request), _whole(frame)
        if picture is None:
            self._films.forget(found, frame)
        else:
            self._films.use_picture(found, frame, _path(picture), found.owner)
        return [_scene(view) for view in known_scenes(found) or ()]

    def preview_scene(self, request: gr.Request, job: str, scene: int) -> dict[str, str]:
        """Color a few seconds of a scene, by its number; return where both clips are."""
        found = self._find(job, request)
        view = self._films.scene(found, _whole(scene))
        made = self._films.preview(found, view, lambda _frames, _total: None)
        key = made.before.parent.name
        return {which: texts.result_url(found, f"{which}-{key}") for which in ("before", "after")}

    def run_film(self, request: gr.Request, job: str) -> dict[str, Any]:
        """Color a film, or go on with it; it waits for those before it."""
        found = self._find(job, request)
        return _shown(self._films.films.queue(found.id, found.owner))

    def cancel_film(self, request: gr.Request, job: str) -> dict[str, Any]:
        """Stop a film; run_film goes on after its finished segments."""
        found = self._find(job, request)
        return _shown(self._films.films.cancel(found.id, found.owner))

    def remove_film(self, request: gr.Request, job: str) -> bool:
        """Remove a film with its result."""
        found = self._find(job, request)
        self._films.jobs.delete(found.id, found.owner)
        return True

    def _find(self, job: str, request: gr.Request) -> Job:
        return self._films.jobs.find(job, owner_of(request))


def _path(given: Any) -> Path:
    """Return the path of an upload; `Library.receive` checks that it is one."""
    path = given.get("path") if isinstance(given, dict) else getattr(given, "path", None)
    if not isinstance(path, str) or not path or "\0" in path:
        raise ArgumentError("give an uploaded file")
    return Path(path)


def _sent(file: Path) -> FileData:
    """Return FILE as clients download it."""
    return FileData(path=str(file), orig_name=file.name, size=file.stat().st_size)


def _shown(job: Job) -> dict[str, Any]:
    result = texts.result_url(job, "download") if job.state == "done" else None
    return {**job.public(), "result": result}


def _scene(view: SceneView) -> dict[str, Any]:
    names = ("number", "first", "last", "frame", "start", "duration", "has_reference")
    return {name: getattr(view, name) for name in names}


def _number(given: Any) -> float:
    if isinstance(given, bool) or not isinstance(given, int | float) or not math.isfinite(given):
        raise ArgumentError(f"{given!r} is no number")
    return float(given)


def _whole(given: Any) -> int:
    if _number(given) != int(given):
        raise ArgumentError(f"{given!r} is no whole number")
    return int(given)


def _size(given: Any) -> int | None:
    return _whole(given) or None
