"""Runs a command in this process."""

import contextlib
import io
import subprocess
from collections.abc import Callable

Finished = subprocess.CompletedProcess[str]


def run_command(main: Callable[..., object], *arguments: object) -> Finished:
    """Run a click command: exit code, stdout and stderr."""
    words = [str(argument) for argument in arguments]
    out, err = io.StringIO(), io.StringIO()
    code: str | int | None = 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main(words, prog_name=getattr(main, "name", None))
        except SystemExit as leaving:
            code = leaving.code
    assert isinstance(code, int)
    return Finished(words, code, out.getvalue(), err.getvalue())
