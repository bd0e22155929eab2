"""What the Photo tab does, without its looks: whose photographs are open, and what is painted."""

import secrets
import threading
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from ..color import U8
from ..errors import ColorizeError, InputError
from ..files import whole_file
from ..steering.hints import Hints, Overlay
from .media import Library, Medium
from .photos import Opened, Photos, Settings, save_layer, zipped
from .strokes import Stroke, layer_of_strokes
from .workspace import Workspace

_MOST_OPEN = 200  # photographs of one owner that the page lists
_MOST_OWNERS = 1000
_JPEG_QUALITY = 92  # of what is shown


class Desk:
    """The photographs that each owner has open; threads may share it."""

    def __init__(self, workspace: Workspace, library: Library, photos: Photos) -> None:
        self.photos = photos
        self._folder, self.library = workspace.incoming, library
        self._open: OrderedDict[str, OrderedDict[str, None]] = OrderedDict()
        self._strokes: dict[str, tuple[Stroke, ...]] = {}  # what is painted, by medium
        self._lock = threading.Lock()

    def take(self, uploaded: Path, owner: str) -> Medium:
        """Open an uploaded photograph; InputError says in one line why it cannot be."""
        medium = self.library.receive(uploaded, uploaded.name, owner)
        if medium.kind != "photo":
            raise InputError(f"{medium.name}: is a film; open it under Film")
        self.photos.open(medium)
        with self._lock:
            mine = self._open.setdefault(owner, OrderedDict())
            mine[medium.id] = None
            self._open.move_to_end(owner)
            while len(mine) > _MOST_OPEN:
                self._strokes.pop(mine.popitem(last=False)[0], None)
            while len(self._open) > _MOST_OWNERS:
                for gone in self._open.popitem(last=False)[1]:
                    self._strokes.pop(gone, None)
        return medium

    def open_photos(self, owner: str) -> list[Medium]:
        """Return OWNER's photographs in the order in which they came; deleted ones are left out."""
        with self._lock:
            ids = list(self._open.get(owner, ()))
        found = []
        for each in ids:
            try:
                found.append(self.library.find(each, owner))
            except ColorizeError:  # uploads are deleted after a day
                self.close(each, owner)
        return found

    def close(self, medium: str, owner: str) -> None:
        """Take a photograph off the list."""
        with self._lock:
            self._open.get(owner, OrderedDict[str, None]()).pop(medium, None)
            self._strokes.pop(medium, None)

    def find(self, medium: str, owner: str) -> Medium:
        """Return the photograph whose id is MEDIUM; InputError if OWNER has none such."""
        with self._lock:
            known = medium in self._open.get(owner, ())
        if not known:
            raise InputError("this photograph is no longer open; drop it again")
        return self.library.find(medium, owner)

    def strokes(self, medium: Medium) -> tuple[Stroke, ...]:
        """Return what is painted on MEDIUM, in pixels of its canvas."""
        return self._strokes.get(medium.id, ())

    def paint(self, medium: Medium, strokes: tuple[Stroke, ...]) -> bool:
        """Keep what is painted on MEDIUM; return whether that is news."""
        if strokes == self.strokes(medium):
            return False
        self._strokes[medium.id] = strokes
        return True

    def _layer(self, medium: Medium) -> U8:
        """Return what is painted on MEDIUM as a layer, uint8 (h, w, 4)."""
        height, width = self.photos.open(medium).canvas.shape
        return layer_of_strokes(self.strokes(medium), (height, width))

    def _hints(self, medium: Medium) -> Hints | None:
        if not self.strokes(medium):
            return None
        layer = self._layer(medium)
        if not layer[..., 3].any():
            return None
        return Hints((Overlay(layer[..., :3], layer[..., 3], "the strokes"),))

    def seen(self, medium: Medium, settings: Settings) -> tuple[str, str, tuple[str, ...]]:
        """Return files of MEDIUM before and after, as the page shows them, and remarks."""
        preview = self.photos.preview(medium, settings, self._hints(medium))
        return self._before(medium), self.picture(preview.after), preview.remarks

    def _before(self, medium: Medium) -> str:
        """Return the file of MEDIUM as it was; always the same one, so that browsers keep it."""
        file = self._folder / f"before-{medium.id}" / "seen.jpg"
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            self._write(file, self.photos.open(medium).seen.rgb)
        return str(file)

    def thumbnail(self, medium: Medium) -> str:
        """Return a file of MEDIUM, small."""
        codes = self.photos.open(medium).seen.rgb
        share = min(1.0, 240 / max(codes.shape[:2]))
        size = [max(1, round(side * share)) for side in codes.shape[1::-1]]
        return self.picture(
            np.asarray(cv2.resize(codes, size, interpolation=cv2.INTER_AREA), np.uint8)
        )

    def canvas(self, medium: Medium) -> str:
        """Return a file of MEDIUM in gray, to paint on."""
        return self.picture(np.dstack([self.photos.open(medium).canvas] * 3))

    def opened(self, medium: Medium) -> Opened:
        """Return MEDIUM as it is painted on."""
        return self.photos.open(medium)

    def save(self, media: Sequence[Medium], settings: Settings) -> tuple[list[Path], list[str]]:
        """Write MEDIA in color with what is painted on each; return the files and what to say.

        A failure of one of several is said; that of a single one is raised.
        """
        folder = self._new_folder()
        work = [(each, self.save_layer(each) if self._hints(each) else None) for each in media]
        files, said = list[Path](), list[str]()
        for done in self.photos.finish(work, settings, folder):
            if done.file is None and len(media) == 1:
                raise InputError(done.said[0])
            if done.file is None:
                said += done.said
            else:
                files.append(done.file)
                said += [f"{done.medium.name}: {remark}" for remark in done.said]
        if len(files) > 1:
            files.append(zipped(files, folder / "colorized.zip"))
        return files, said

    def finish(
        self, medium: Medium, settings: Settings, layer: Path | None
    ) -> tuple[Path, tuple[str, ...]]:
        """Write one photograph in color; return the file and what to say."""
        [done] = self.photos.finish([(medium, layer)], settings, self._new_folder())
        if done.file is None:
            raise InputError(done.said[0])
        return done.file, done.said

    def save_layer(self, medium: Medium) -> Path:
        """Write what is painted on MEDIUM, as colorize-run --hints takes it."""
        return save_layer(medium, self._layer(medium), self._new_folder())

    def picture(self, codes: U8) -> str:
        """Write sRGB (h, w, 3) as a file that the page shows."""
        file = self._new_folder() / "seen.jpg"
        self._write(file, codes)
        return str(file)

    @staticmethod
    def _write(file: Path, codes: U8) -> None:
        _, content = cv2.imencode(
            ".jpg",
            np.ascontiguousarray(codes[..., ::-1]),
            [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY],
        )
        with whole_file(file) as part:
            part.write_bytes(content.tobytes())

    def _new_folder(self) -> Path:
        """Make a folder that nobody can guess, deleted with the uploads."""
        folder = self._folder / secrets.token_hex(16)
        folder.mkdir(parents=True)
        return folder
