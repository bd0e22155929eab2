"""The words of the page."""

from collections.abc import Sequence
from html import escape

from .jobs import Job
from .previews import Preview
from .scenes import SceneView

TITLE = "Colorize"
PHOTO = "Photo"
FILM = "Film"

DROP_PHOTOS = "Photographs"
OPEN_PHOTOS = "Open photographs"
COLORS = "Colors"
SATURATION = "Saturation"
REFINE = "Colors follow edges"
SIZE = "Working size, pixels"
SIZE_INFO = "Short side of what the network sees; 0: the model's own."
MODEL = "Model"
PAINT = "Paint colors on the photograph"
BEFORE_AFTER = "Before and after"
SAVE_STROKES = "Save strokes"
SAVE = "Color and save"
SAVE_ALL = "Color and save all"
RESULTS = "Results"
NOT_OPENED = "Not opened"
STROKES_SAVED = "The strokes are a picture for `colorize-run --hints`."
PHOTO_WELCOME = """
### Drop a black-and-white photograph on the left

It is colored at once. Where a color is wrong, choose the right one and paint a short stroke over
the thing: the color spreads to its edges. Nothing is sent to any other server.
"""
DROP_FILM = "Film"
LISTED = "Films on this server"
OPEN_LISTED = "Open"
FILMS = "Your films"
STABILIZE = "Steady colors"
CONTAINER = "Container"
RUN = "Color the film"
RESUME = "Go on"
CANCEL = "Cancel"
DELETE = "Remove"
SCENES = "Scenes: choose one to paint its colors"
PAINT_FRAME = "Paint colors on this frame"
USE_PICTURE = "Use a colored picture"
FORGET = "Forget these colors"
PREVIEW = "Preview this scene"
FINDING_SCENES = "Looking for scenes"
PREVIEWING = "Coloring a few seconds"
PICTURE_USED = "The picture gives this frame its colors."
FILM_WELCOME = """
### Drop a black-and-white film on the left

Its scenes are found. Choose a scene, paint colors on its frame, and the whole scene follows; a
preview shows a few seconds of it. Then color the film. It goes on when you close or reload this
page, and after a restart of the server.
"""


def remarks(name: str, said: Sequence[str]) -> str:
    """Return what was said of a photograph, one remark a line."""
    lines = [f"- {_plain(each)}" for each in dict.fromkeys(said)]
    return "\n".join(([f"**{_plain(name)}**", ""] if name else []) + lines)


def _plain(text: str) -> str:
    """Return TEXT such that Markdown shows it as it is."""
    return "".join(f"\\{each}" if each in r"\`*_{}[]()<>#+-!|~&$" else each for each in text)


def state_of(job: Job) -> str:
    """Return the state of a film as the list says it."""
    now = job.progress
    share = "" if now.share is None else f"{now.share:.0%}"
    if job.state == "running":
        parts = [share or f"{now.frames} frames", f"{now.fps:.1f} frames/s" if now.fps else ""]
        parts.append(f"{duration(now.eta)} left" if now.eta is not None else "")
        work = "copying for browsers" if now.stage == "copy" else "running"
        return f"{work}: " + ", ".join(part for part in parts if part)
    if job.state == "queued":
        return f"waiting, number {job.position} in the queue"
    if job.state == "canceled":
        return f"stopped at {share}" if share else "stopped"
    return {"draft": "not colored yet", "done": "colored", "failed": "failed"}[job.state]


def film_status(job: Job) -> str:
    """Return the heading of a film, with all that was said of it."""
    lines = [f"### {_plain(job.name)}", _plain(state_of(job))]
    if job.state in ("running", "canceled") and job.progress.total:
        lines[1] += f" · frame {job.progress.frames} of {job.progress.total}"
    if job.error:
        lines.append(f"**{_plain(job.error)}**")
    return "\n\n".join(lines) + "\n\n" + "\n".join(f"- {_plain(each)}" for each in job.notices)


def film_result(job: Job) -> str:
    """Return the player of a finished film, and where to download it."""
    if job.state != "done":
        return ""
    name = escape(job.download_name)
    player = (
        f'<video controls loop playsinline preload="metadata" src="{result_url(job, "film")}" '
        f'aria-label="{name}"></video>'
    )
    url = result_url(job, "download")
    link = f'<a class="download" href="{url}" download="{name}">Download {name}</a>'
    return f'<div class="result">{player}{link}</div>'


def result_url(job: Job, what: str) -> str:
    """Return where WHAT of a film is on this server: film, download, before-KEY or after-KEY."""
    return f"/results/{job.id}/{what}"


def scene_caption(view: SceneView) -> str:
    """Return what stands below a scene's picture."""
    end = view.start + view.duration
    painted = " · painted" if view.has_reference else ""
    return f"{view.number}: {duration(view.start)}–{duration(end)}{painted}"


def frame_of(job: Job, view: SceneView) -> str:
    """Return what a scene's picture is, for those who do not see it."""
    return f"frame {view.frame} of {job.name}, scene {view.number}"


def no_clips() -> str:
    """Return what stands where a preview will be."""
    return '<p class="note">A few seconds of the scene, before and after.</p>'


def clips(job: Job, view: SceneView, made: Preview) -> str:
    """Return a scene's preview: two clips that play together."""
    key = made.before.parent.name
    parts = [
        f'<figure><video autoplay loop muted playsinline src="{result_url(job, f"{which}-{key}")}" '
        f'aria-label="Scene {view.number} {which}"></video>'
        f"<figcaption>{which.capitalize()}</figcaption></figure>"
        for which in ("before", "after")
    ]
    said = "".join(f"<li>{escape(each)}</li>" for each in made.notices)
    return f'<div class="clips">{"".join(parts)}</div><ul>{said}</ul>'


def duration(seconds: float) -> str:
    """Return SECONDS as people write them: 0:07, 12:30, 1:02:03."""
    whole = round(seconds)
    hours, minutes = whole // 3600, whole // 60 % 60
    if hours:
        return f"{hours}:{minutes:02}:{whole % 60:02}"
    return f"{minutes}:{whole % 60:02}"
