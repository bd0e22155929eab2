"""Who may use a page that other machines reach: users and the hashes of their passwords."""

import base64
import hashlib
import hmac
import os
import re
import secrets
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from filelock import FileLock

from ..errors import ArgumentError, OutputError
from ..files import whole_file

_NAME = re.compile(r"[A-Za-z0-9._@-]{1,64}")
_LEAST, _MOST = 8, 256  # characters of a password
_LETTERS = "abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"  # none is taken for another
_LENGTH = 20
_N, _R, _P = 1 << 15, 8, 1  # of scrypt: 32 MB and about a tenth of a second
_SALT_BYTES, _HASH_BYTES = 16, 32


def add_user(path: Path, name: str, password: str) -> None:
    """Add NAME to the file at PATH, or give it another password; mode 600.

    One line a user, `name:scrypt$N$r$p$salt$hash`. ArgumentError for a name or password that
    cannot be used.
    """
    if not _NAME.fullmatch(name):
        raise ArgumentError(f"user {name!r}: a name has 1 to 64 letters, digits and . _ @ -")
    if not _LEAST <= len(password) <= _MOST:
        raise ArgumentError(f"user {name}: a password has {_LEAST} to {_MOST} characters")
    new, lock = _hashed(password), FileLock(path.with_name(f"{path.name}.lock"))
    try:
        held = lock.acquire()
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror or error})") from error
    with held:  # of two that are added at once, none is lost
        hashes = {**_read(path), name: new}
        with whole_file(path, lasting=True) as part:
            part.chmod(0o600)
            part.write_text("".join(f"{each}:{hashed}\n" for each, hashed in hashes.items()))


def generated_password() -> str:
    """Return a password that nobody guesses and that can be typed: 20 letters and digits."""
    return "".join(secrets.choice(_LETTERS) for _ in range(_LENGTH))


class Users:
    """The users of one server; calling it tells whether name and password are right.

    That is what Gradio's `launch(auth=...)` takes. A wrong name takes as long as a wrong password.
    """

    def __init__(self, hashes: Mapping[str, str]) -> None:
        """HASHES are those that `add_user` writes, by the users' names."""
        self._hashes = dict(hashes)
        self._nobody = _hashed(generated_password())
        self._one_at_a_time = threading.Lock()  # guesses must not fill the memory

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read the file that `add_user` writes; no users if it is not there.

        ArgumentError if it is damaged, or if other users of this machine can read it.
        """
        return cls(_read(path))

    @classmethod
    def one(cls, name: str, password: str) -> Self:
        """Return a single user, kept in no file: that of a generated password."""
        return cls({name: _hashed(password)})

    def __bool__(self) -> bool:
        """Tell whether there is any."""
        return bool(self._hashes)

    def __call__(self, name: str, password: str) -> bool:
        """Tell whether NAME is a user and PASSWORD is right."""
        known = self._hashes.get(name)
        with self._one_at_a_time:
            right = _is_of(password[:_MOST], known or self._nobody)
        return right and known is not None


def _read(path: Path) -> dict[str, str]:
    try:
        mode, text = path.stat().st_mode, path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ArgumentError(f"{path}: cannot be read ({error})") from error
    if os.name == "posix" and mode & 0o077:
        raise ArgumentError(f"{path}: others of this machine can read it; run: chmod 600 {path}")
    hashes = dict[str, str]()
    for number, line in enumerate(text.splitlines(), 1):
        name, _, hashed = line.partition(":")
        if not (_NAME.fullmatch(name) and _parts(hashed)):
            raise ArgumentError(
                f"{path}: line {number} is no user; remove it and add the user anew"
            )
        hashes[name] = hashed
    return hashes


def _hashed(password: str) -> str:
    salt = secrets.token_bytes(_SALT_BYTES)
    texts = (base64.b64encode(each).decode() for each in (salt, _scrypt(password, salt)))
    return "$".join(("scrypt", str(_N), str(_R), str(_P), *texts))


def _scrypt(password: str, salt: bytes, n: int = _N, r: int = _R, p: int = _P) -> bytes:
    most = 256 * n * r  # bytes; it needs half of them
    return hashlib.scrypt(
        password.encode(errors="surrogatepass"), salt=salt, n=n, r=r, p=p, maxmem=most, dklen=32
    )


def _is_of(password: str, hashed: str) -> bool:
    parts = _parts(hashed)
    if parts is None:
        return False
    (n, r, p), salt, known = parts
    return hmac.compare_digest(_scrypt(password, salt, n, r, p), known)


def _parts(hashed: str) -> tuple[tuple[int, int, int], bytes, bytes] | None:
    """Return (N, r, p), salt and hash of what `_hashed` returns; None if it is no such text."""
    try:
        kind, n, r, p, salt, known = hashed.split("$")
        numbers = int(n), int(r), int(p)
        texts = base64.b64decode(salt, validate=True), base64.b64decode(known, validate=True)
    except ValueError:
        return None
    n_fits = numbers[0] > 1 and numbers[0] & (numbers[0] - 1) == 0  # a power of two
    fits = kind == "scrypt" and n_fits and min(numbers) > 0 and max(numbers) <= 1 << 20
    return (numbers, *texts) if fits and len(texts[1]) == _HASH_BYTES else None
