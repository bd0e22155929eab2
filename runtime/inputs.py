"""What the user names, as files: which are photographs and films, and where their results go."""

import glob
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from .errors import ArgumentError, InputError
from .files import (
    FRAME_SUFFIXES,
    PHOTO_SUFFIXES,
    SCENES_NAME,
    WORK_SUFFIX,
    fitting,
    is_pattern,
)

_FILM_SUFFIXES = {".m2ts", ".mts", ".ts", ".mpg", ".mpeg", ".vob", ".wmv", ".flv", ".ogv", ".3gp"}
_WRITABLE_VIDEOS = {".mp4", ".m4v", ".mkv", ".webm", ".mov", ".avi", ".mxf"}
_FILMS = _WRITABLE_VIDEOS | _FILM_SUFFIXES
_NAMED_LIKE_FILMS = _FILMS | {".y4m"}
MARK = "_colorized"
"""Ends the name of a result that is not given one."""
OVERLAY_MARK = "_hints"
"""Ends the name of an overlay of hints."""
_REFERENCE = re.compile(r"ref_\d{6}")
PIPE = Path("-")
"""Stands for standard input and output."""
_NEITHER = "neither a photograph nor a film"
_NAMED = 3  # files that a line about what was left out names

Kind = Literal["photo", "film"]


@dataclass(frozen=True)
class Input:
    """A file to colorize."""

    path: Path
    base: Path  # its place below the output folder is relative to this
    kind: Kind
    named: bool = True  # by the user, not found in a folder


def kind_of(path: Path) -> Kind | None:
    """Return what the content of the file at PATH is; None if neither it nor its name is of a kind.

    A damaged photograph or film must fail as one, and not be passed over.
    """
    from .photo.reader import is_photo

    if is_photo(path):
        return "photo"
    from .video.source import open_video  # only now: photographs do not wait for PyAV

    try:
        open_video(path).close()
    except InputError:
        return kind_by_name(path)
    return "film"


def kind_by_name(path: Path) -> Kind | None:
    """Return what the suffix of PATH says that it is, without a look into it."""
    suffix = path.suffix.lower()
    if suffix in PHOTO_SUFFIXES:
        return "photo"
    return "film" if suffix in _NAMED_LIKE_FILMS else None


def find_inputs(
    given: Path,
    *,
    recursive: bool,
    as_film: bool = False,
    leave_out: Collection[Path] = (),
    on_note: Callable[[str], None] = lambda _: None,
) -> list[Input]:
    """Return the files that GIVEN names: itself, those in a folder, or those of a pattern.

    Of a folder these are all photographs and films by their content; hidden files aside, ON_NOTE
    is told how many others there are and why they were left out. InputError if there is none.
    AS_FILM takes the numbered pictures in it for the frames of one film.
    """
    if given.is_file():
        return [_named(given)]
    if is_pattern(given):
        return [Input(given, given.parent, "film")]
    if as_film and given.is_dir():
        from .video.numbered import pattern_of

        return [Input(pattern_of(given), given, "film")]
    if given.is_dir():
        return _in_folder(given, recursive=recursive, leave_out=leave_out, on_note=on_note)
    matching = [Path(name) for name in sorted(glob.glob(str(given), recursive=True))]  # noqa: PTH207  # Path.glob takes no absolute pattern
    if not matching:
        raise InputError(f"{given}: no such file or folder")
    files = [_named(path) for path in matching if path.is_file()]
    if not files:
        raise InputError(f"{given}: matches folders alone; name them, or files in them")
    return files


def _named(path: Path) -> Input:
    """Return a file that the user named: what it cannot be is told when it is opened."""
    from .photo.reader import is_photo

    return Input(path, path.parent, "photo" if is_photo(path) else "film")


def _in_folder(
    folder: Path,
    *,
    recursive: bool,
    leave_out: Collection[Path],
    on_note: Callable[[str], None],
) -> list[Input]:
    found: list[Input] = []
    left: dict[str, list[Path]] = defaultdict(list)
    for path in _visible(folder, recursive=recursive):
        reason = _reason_to_leave_out(path, folder, leave_out)
        kind = None if reason else kind_of(path)
        if kind is None:
            left[reason or _NEITHER].append(path)
        else:
            found.append(Input(path, folder, kind, named=False))
    if not found and {path.suffix.lower() for path in left.get(_NEITHER, [])} == {".dpx"}:
        from .video.numbered import pattern_of

        return [Input(pattern_of(folder), folder, "film")]  # a film scan can be nothing else
    if left:
        listed = (f"{len(paths)} {why}{_some(why, paths)}" for why, paths in sorted(left.items()))
        on_note(f"{folder}: left out {', '.join(listed)}")
    if not found:
        frames = any(path.suffix.lower() in FRAME_SUFFIXES for path in folder.iterdir())
        hint = "; --as-film takes numbered frames" if frames else ""
        raise InputError(f"{folder}: no photographs or films in this folder{hint}")
    return found


def _visible(folder: Path, *, recursive: bool) -> Iterator[Path]:
    """Yield the files in FOLDER in order, but hidden ones and those in hidden folders."""
    for path in sorted(folder.rglob("*") if recursive else folder.iterdir()):
        parts = path.relative_to(folder).parts
        hidden = any(part.startswith(".") and not part.endswith(WORK_SUFFIX) for part in parts)
        if not hidden and path.is_file():
            yield path


def _some(reason: str, paths: Sequence[Path]) -> str:
    """Return the names of a few files that the user may have wanted to be colored."""
    if reason != _NEITHER:
        return ""
    names = ", ".join(path.name for path in paths[:_NAMED])
    return f" ({names}{', ...' if len(paths) > _NAMED else ''})"


def _reason_to_leave_out(path: Path, given: Path, leave_out: Collection[Path]) -> str:
    """Return what the file at PATH, below the folder GIVEN, is if it is no input; "" if it is."""
    if path.stem.endswith(MARK):
        return f"named *{MARK}.*"
    if path.name == SCENES_NAME:
        return f"named {SCENES_NAME}"
    if path.stem.endswith(OVERLAY_MARK):
        return f"named *{OVERLAY_MARK}.*"
    if _REFERENCE.match(path.name) and (path.parent / SCENES_NAME).is_file():
        return f"reference frames beside a {SCENES_NAME}"
    below = [parent for parent in path.parents if parent.is_relative_to(given) and parent != given]
    if any(parent.suffix == WORK_SUFFIX for parent in below):
        return "in work folders of films"
    for folder in leave_out:
        if any(parent.resolve() == folder.resolve() for parent in below):
            return f"in {folder}"
    return ""


def targets_of(sources: Sequence[Input], output: Path | None) -> list[Path]:
    """Return where each result goes; ArgumentError if two would go to one place.

    OUTPUT names a file for one named source, else a folder; None: beside the sources.
    """
    if output is not None and _is_file_name(sources, output):
        targets = [output]
    else:
        targets = [_target(source, output) for source in sources]
    for source, target in zip(sources, targets, strict=True):
        if target.exists() and source.path.exists() and target.samefile(source.path):
            raise ArgumentError(f"{target}: is the input itself; give another -o")
    counted = Counter(target.resolve() for target in targets)
    targets = [  # film.flv and film.ts both become film.mkv
        target if counted[target.resolve()] == 1 else _told_apart(source, target)
        for source, target in zip(sources, targets, strict=True)
    ]
    counted = Counter(target.resolve() for target in targets)
    twice = [target for target, count in counted.items() if count > 1]
    if twice:
        raise ArgumentError(f"{min(twice)}: two inputs would be written there; colorize them apart")
    return targets


def _is_file_name(sources: Sequence[Input], output: Path) -> bool:
    """Whether OUTPUT names the file of the only source; ArgumentError if it can name no folder."""
    if output.is_dir() or not output.suffix:
        return False
    if len(sources) == 1 and sources[0].named:
        return True
    from .photo.writer import format_of

    suffix = output.suffix.lower()
    count = f"{len(sources)} input{'s' if len(sources) > 1 else ''}"
    if suffix in _FILMS and all(source.kind == "photo" for source in sources):
        raise ArgumentError(
            f"{output}: is the name of a film, here are photographs ({count}); --as-film makes one "
            "film of numbered ones, a folder as -o takes them one by one"
        )
    if suffix in _FILMS or format_of(suffix) is not None:
        raise ArgumentError(
            f"{output}: is the name of one file, here are {count} of a folder; name a folder"
            if len(sources) == 1
            else f"{output}: is the name of one file, here are {count}; name a folder"
        )
    return False


def _target(source: Input, output: Path | None) -> Path:
    folder = source.path.parent
    if output is not None:
        folder = output / folder.relative_to(source.base)
    elif is_pattern(source.path):
        folder = folder.parent
    end = f"{MARK}{_suffix(source)}"
    return folder / f"{fitting(_stem(source), end)}{end}"


def _stem(source: Input) -> str:
    """Return what results are called after: the file, or the folder of numbered frames."""
    return source.path.parent.resolve().name if is_pattern(source.path) else source.path.stem


def _told_apart(source: Input, target: Path) -> Path:
    end = f"_{source.path.suffix[1:]}{MARK}{target.suffix}"
    return target.with_name(f"{fitting(_stem(source), end)}{end}")


def _suffix(source: Input) -> str:
    """Return the source's suffix, or if nothing is written under that one that can be."""
    suffix = source.path.suffix
    if source.kind == "film":
        return suffix if suffix.lower() in _WRITABLE_VIDEOS else ".mkv"  # takes every codec
    from .photo.writer import format_of

    return suffix if format_of(suffix) is not None else ".png"
