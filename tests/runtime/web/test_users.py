"""Users: a private file, hashes instead of passwords, and nobody else let in."""

import os
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import click
import pytest
from helpers.commands import run_command

from colorize.runtime.errors import ArgumentError
from colorize.runtime.web.cli import main
from colorize.runtime.web.users import Users, add_user, generated_password
from colorize.runtime.web.workspace import open_workspace


def test_users_are_let_in_with_their_password_alone(tmp_path: Path) -> None:
    path = tmp_path / "users"
    add_user(path, "ann", "correct horse")
    add_user(path, "bob@example.org", "another word")
    users = Users.read(path)
    assert users
    assert users("ann", "correct horse")
    assert users("bob@example.org", "another word")
    wrong = [
        ("ann", "another word"),
        ("ann", ""),
        ("eve", "correct horse"),
        ("", ""),
        ("ann", "x" * 10**6),
    ]
    assert not any(users(*each) for each in wrong)


def test_the_file_is_private_and_holds_no_password(tmp_path: Path) -> None:
    path = tmp_path / "users"
    add_user(path, "ann", "correct horse")
    first = path.read_text()
    assert re.fullmatch(r"ann:scrypt\$32768\$8\$1\$[A-Za-z0-9+/=]{24}\$[A-Za-z0-9+/=]{44}\n", first)
    if os.name == "posix":
        assert path.stat().st_mode & 0o777 == 0o600
    add_user(path, "ann", "correct horse")
    assert path.read_text() != first  # another salt
    assert len(path.read_text().splitlines()) == 1


def test_another_password_takes_the_place_of_the_first(tmp_path: Path) -> None:
    path = tmp_path / "users"
    add_user(path, "ann", "correct horse")
    add_user(path, "ann", "battery staple")
    users = Users.read(path)
    assert users("ann", "battery staple")
    assert not users("ann", "correct horse")


@pytest.mark.parametrize(
    ("name", "password"),
    [("a:b", "long enough"), ("", "long enough"), ("a\nb", "long enough"), ("ann", "short")],
)
def test_what_cannot_be_used_is_refused(tmp_path: Path, name: str, password: str) -> None:
    with pytest.raises(ArgumentError, match="user"):
        add_user(tmp_path / "users", name, password)
    assert not (tmp_path / "users").exists()


@pytest.mark.parametrize(
    "line",
    [
        "ann",
        "ann:plain",
        "ann:scrypt$1$1$1$AA==$AA==",
        "ann:scrypt$99999999999$8$1$AA==$AA==",
        "§:x",
    ],
)
def test_a_damaged_file_lets_nobody_in(tmp_path: Path, line: str) -> None:
    path = tmp_path / "users"
    add_user(path, "bob", "long enough")
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(ArgumentError, match="line 2 is no user"):
        Users.read(path)


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
def test_a_file_that_others_can_read_is_refused_with_the_fix(tmp_path: Path) -> None:
    path = tmp_path / "users"
    add_user(path, "ann", "long enough")
    path.chmod(0o640)
    with pytest.raises(ArgumentError, match="chmod 600"):
        Users.read(path)


def test_no_file_means_no_users(tmp_path: Path) -> None:
    users = Users.read(tmp_path / "none")
    assert not users
    assert not users("ann", "anything")


def test_a_generated_password_can_be_typed_and_works() -> None:
    password = generated_password()
    assert re.fullmatch("[A-Za-z2-9]{20}", password)
    assert password != generated_password()
    users = Users.one("user", password)
    assert users("user", password)
    assert not users("user", generated_password())


def test_a_user_is_added_while_a_server_holds_the_workspace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(click, "prompt", lambda *_, **__: "correct horse")
    with open_workspace(tmp_path / "work") as workspace:
        ran = run_command(main, "--workspace", tmp_path / "work", "--add-user", "ann")
        assert ran.returncode == 0, ran.stderr
        assert "from the next start on" in ran.stderr
        assert Users.read(workspace.users)("ann", "correct horse")


def test_of_users_that_are_added_at_once_none_is_lost(tmp_path: Path) -> None:
    names = [f"ann{number}" for number in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda name: add_user(tmp_path / "users", name, "correct horse"), names))
    assert len((tmp_path / "users").read_text().splitlines()) == 4
