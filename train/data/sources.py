"""Photographs where they lie: files of a folder, or members of a tar that is read in place."""

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ...runtime.errors import InputError
from ...runtime.files import PHOTO_SUFFIXES, photo_files


@dataclass(frozen=True)
class PhotoFile:
    """Where one photograph lies: a file, or LENGTH bytes at OFFSET of a tar."""

    path: Path
    name: str  # below its folder or in its tar
    offset: int = 0
    length: int | None = None
    sha256: str = ""  # of its content, once it is indexed

    @property
    def title(self) -> str:
        """The full name, to show."""
        return str(self.path) if self.length is None else f"{self.path}:{self.name}"

    def read(self) -> bytes:
        """Return the encoded photograph; InputError if it is not or no longer there."""
        try:
            with self.path.open("rb") as file:
                file.seek(self.offset)
                return file.read(-1 if self.length is None else self.length)
        except OSError as error:
            raise InputError(f"{self.title}: cannot be read ({error.strerror or error})") from error


def photographs(source: Path) -> list[PhotoFile]:
    """Return the photographs in SOURCE; InputError if it is neither a folder nor a tar."""
    if not source.is_dir():
        members = tar_members(source)
        return [each for each in members if Path(each.name).suffix.lower() in PHOTO_SUFFIXES]
    return [PhotoFile(path, path.relative_to(source).as_posix()) for path in photo_files(source)]


def tar_members(path: Path) -> Iterator[PhotoFile]:
    """Yield the files in a tar; InputError if it is none, or a compressed one."""
    try:
        with tarfile.open(path, "r:") as tar:
            for entry in tar:
                if entry.isfile():
                    name = entry.name.removeprefix("./")
                    yield PhotoFile(path, name, entry.offset_data, entry.size)
    except (tarfile.TarError, OSError) as error:
        raise InputError(
            f"{path}: neither a folder nor an uncompressed tar ({error}); unpack it first"
        ) from error
