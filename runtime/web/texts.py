"""The words of the page."""

from collections.abc import Sequence

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
the thing: the color spreads to its edges. Nothing leaves this computer.
"""


def remarks(name: str, said: Sequence[str]) -> str:
    """Return what was said of a photograph, one remark a line."""
    lines = [f"- {_plain(each)}" for each in dict.fromkeys(said)]
    return "\n".join(([f"**{_plain(name)}**", ""] if name else []) + lines)


def _plain(text: str) -> str:
    """Return TEXT such that Markdown shows it as it is."""
    return "".join(f"\\{each}" if each in r"\`*_{}[]()<>#+-!|~&$" else each for each in text)
