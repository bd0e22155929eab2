"""Who may use a page that other machines reach: users and the hashes of their passwords."""

from pathlib import Path


def add_user(path: Path, name: str, password: str) -> None:
    """Add NAME to the file at PATH, or give it another password; mode 600.

    One line a user, `name:scrypt$N$r$p$salt$hash`. ArgumentError for a name or password that
    cannot be used.
    """
    raise NotImplementedError


def generated_password() -> str:
    """Return a password that nobody guesses and that can be typed: 20 letters and digits."""
    raise NotImplementedError


class Users:
    """The users of one server; calling it tells whether name and password are right.

    That is what Gradio's `launch(auth=...)` takes. A wrong name takes as long as a wrong password.
    """

    def __init__(self, hashes: dict[str, str]) -> None:
        raise NotImplementedError

    @classmethod
    def read(cls, path: Path) -> "Users":
        """Read the file that `add_user` writes; no users if it is not there.

        ArgumentError if it is damaged, or if other users of this machine can read it.
        """
        raise NotImplementedError

    @classmethod
    def one(cls, name: str, password: str) -> "Users":
        """Return a single user, kept in no file: that of a generated password."""
        raise NotImplementedError

    def __bool__(self) -> bool:
        raise NotImplementedError

    def __call__(self, name: str, password: str) -> bool:
        raise NotImplementedError
