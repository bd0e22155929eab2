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
from .media import Library, Medium
from .photos import Opened, Photos, Settings, layer_of, painted, save_layer, zipped
from .workspace import Workspace

_MOST_OPEN = 200  # photographs of one owner that the page lists
_MOST_OWNERS = 1000
_JPEG_QUALITY = 92  # of what is shown


class Desk:
    """The photographs that each owner has open; threads may share it."""

    def __init__(self, workspace: Workspace, library: Library, photos: Photos) -> None:
        self.photos = photos
        self._folder, self._library = workspace.incoming, library
        self._open: OrderedDict[str, OrderedDict[str, None]] = OrderedDict()
        self._layers: dict[str, bytes] = {}  # PNG of what is painted, by medium
        self._lock = threading.Lock()

    def take(self, uploaded: Path, owner: str) -> Medium:
        """Open an uploaded photograph; InputError says in one line why it cannot be."""
        medium = self._library.receive(uploaded, uploaded.name, owner)
        if medium.kind != "photo":
            raise InputError(f"{medium.name}: is a film; open it under Film")
        self.photos.open(medium)
        with self._lock:
            mine = self._open.setdefault(owner, OrderedDict())
            mine[medium.id] = None
            self._open.move_to_end(owner)
            while len(mine) > _MOST_OPEN:
                self._layers.pop(mine.popitem(last=False)[0], None)
            while len(self._open) > _MOST_OWNERS:
                for gone in self._open.popitem(last=False)[1]:
                    self._layers.pop(gone, None)
        return medium

    def open_photos(self, owner: str) -> list[Medium]:
        """Return OWNER's photographs in the order in which they came; those deleted are left out."""
        with self._lock:
            ids = list(self._open.get(owner, ()))
        found = []
        for each in ids:
            try:
                found.append(self._library.find(each, owner))
            except ColorizeError:  # uploads are deleted after a day
                self.close(each, owner)
        return found

    def close(self, medium: str, owner: str) -> None:
        """Take a photograph off the list."""
        with self._lock:
            self._open.get(owner, OrderedDict[str, None]()).pop(medium, None)
            self._layers.pop(medium, None)

    def find(self, medium: str, owner: str) -> Medium:
        """Return the photograph whose id is MEDIUM; InputError if OWNER has none such."""
        with self._lock:
            known = medium in self._open.get(owner, ())
        if not known:
            raise InputError("this photograph is no longer open; drop it again")
        return self._library.find(medium, owner)

    def layers(self, medium: Medium) -> list[U8]:
        """Return what is painted on MEDIUM, uint8 (h, w, 4) each."""
        content = self._layers.get(medium.id)
        return [] if content is None else [layer_of(content)]

    def paint(self, medium: Medium, layers: Sequence[U8]) -> bool:
        """Keep what is painted on MEDIUM; return whether that is news."""
        layers = [layer for layer in layers if layer[..., 3].any()]
        before = self.layers(medium)
        if len(before) == len(layers) and all(map(np.array_equal, before, layers)):
            return False
        if not layers:
            self._layers.pop(medium.id, None)
            return True
        whole = layers[0].copy()
        for layer in layers[1:]:
            there = layer[..., 3] > 0
            whole[there] = layer[there]
        whole[whole[..., 3] == 0] = 0
        _, png = cv2.imencode(".png", whole[..., [2, 1, 0, 3]], [cv2.IMWRITE_PNG_COMPRESSION, 1])
        self._layers[medium.id] = png.tobytes()
        return True

    def seen(self, medium: Medium, settings: Settings) -> tuple[str, str, tuple[str, ...]]:
        """Return files of MEDIUM before and after, as the page shows them, and remarks."""
        preview = self.photos.preview(medium, settings, painted(self.layers(medium)))
        return self.picture(preview.before), self.picture(preview.after), preview.remarks

    def thumbnail(self, medium: Medium) -> str:
        """Return a file of MEDIUM, small."""
        codes = self.photos.open(medium).seen.codes
        share = min(1.0, 240 / max(codes.shape[:2]))
        size = [max(1, round(side * share)) for side in codes.shape[1::-1]]
        return self.picture(
            np.asarray(cv2.resize(codes, size, interpolation=cv2.INTER_AREA), np.uint8)
        )

    def opened(self, medium: Medium) -> Opened:
        """Return MEDIUM as it is painted on."""
        return self.photos.open(medium)

    def save(self, media: Sequence[Medium], settings: Settings) -> tuple[list[Path], list[str]]:
        """Write MEDIA in color with what is painted on each; return the files and what to say.

        A failure of one of several is said; that of a single one is raised.
        """
        folder = self._new_folder()
        files, said = list[Path](), list[str]()
        for number, medium in enumerate(media):
            place = folder if len(media) == 1 else folder / f"{number:03}"
            try:
                file, remarks = self.photos.finish(
                    medium, settings, place, painted(self.layers(medium))
                )
            except ColorizeError as error:
                if len(media) == 1:
                    raise
                said.append(str(error))
                continue
            files.append(file)
            said += [f"{medium.name}: {remark}" for remark in remarks]
        if len(files) > 1:
            files.append(zipped(files, folder / "colorized.zip", lambda _: None))
        return files, said

    def save_layer(self, medium: Medium) -> Path:
        """Write what is painted on MEDIUM, as colorize-run --hints takes it."""
        return save_layer(medium, self.layers(medium), self._new_folder())

    def picture(self, codes: U8) -> str:
        """Write sRGB (h, w, 3) as a file that the page shows."""
        file = self._new_folder() / "seen.jpg"
        _, content = cv2.imencode(
            ".jpg",
            np.ascontiguousarray(codes[..., ::-1]),
            [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY],
        )
        with whole_file(file) as part:
            part.write_bytes(content.tobytes())
        return str(file)

    def _new_folder(self) -> Path:
        """Make a folder that nobody can guess, deleted with the uploads."""
        folder = self._folder / secrets.token_hex(16)
        folder.mkdir(parents=True)
        return folder
