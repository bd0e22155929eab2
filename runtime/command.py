"""What the commands share: errors as one line, exit codes, the check for extras."""

import importlib.util
import io
import signal
import sys
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn

import click
from click.core import ParameterSource
from click.shell_completion import CompletionItem
from rich.console import Console

from .errors import ArgumentError, ColorizeError, MissingExtraError

INTERRUPTED = 130


class Command(click.Command):
    """A click command whose failures are one line on stderr and an exit code."""

    def main(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Run the command and leave the process with its exit code."""
        kwargs["standalone_mode"] = False
        _speak_utf8()
        _let_termination_interrupt()
        try:
            code = super().main(*args, **kwargs)
        except click.ClickException as error:
            self._fail(error.format_message(), error.exit_code)
        except ColorizeError as error:
            self._fail(str(error), error.exit_code)
        except (click.Abort, KeyboardInterrupt) as error:
            said = str(error.__cause__ or error)  # click makes an Abort of every Ctrl-C
            self._fail(f"interrupted; {said}" if said else "interrupted", INTERRUPTED)
        except OSError as error:
            place = f"{error.filename}: " if error.filename else ""
            self._fail(f"{place}{error.strerror or error}", 1)
        sys.exit(code if isinstance(code, int) else 0)

    def _fail(self, message: str, code: int) -> NoReturn:
        one_line = " ".join(message.split())
        click.echo(f"{self.name}: {one_line}", err=True)
        sys.exit(code)


def _speak_utf8() -> None:
    """Let pipes on Windows have UTF-8: its code pages lack most names that files may have."""
    if sys.platform != "win32":
        return
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and not stream.isatty():
            stream.reconfigure(encoding="utf-8")


def _let_termination_interrupt() -> None:
    """Treat SIGTERM as Ctrl-C, so that it too leaves no half-written file."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, interrupt)


def require_extra(extra: str, modules: Sequence[str]) -> None:
    """Raise MissingExtraError unless all MODULES, which EXTRA installs, can be found."""
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingExtraError(
            f"needs {', '.join(missing)}: pip install 'colorize-toolkit[{extra}]' "
            f"(in a clone: pip install '.[{extra}]')"
        )


@contextmanager
def without_converter() -> Iterator[None]:
    """Make `import openvino` skip its model converter, which nothing here needs.

    The converter takes half of the import's time and reports the start to OpenVINO's makers. Only
    the commands skip it: a program that uses the package may need the converter.
    """
    name = "openvino.tools.ovc"
    known = name in sys.modules
    sys.modules.setdefault(name, None)  # type: ignore[arg-type]  # "cannot be imported"
    try:
        yield
    finally:
        if not known:
            del sys.modules[name]


def options_given(names: Collection[str]) -> Iterator[str]:
    """Yield the options of the parameters NAMES, as --option, that are on the command line."""
    context = click.get_current_context()
    for param in context.command.params:
        source = context.get_parameter_source(param.name or "")
        if param.name in names and source is ParameterSource.COMMANDLINE:
            yield param.opts[-1]


def refuse_given(names: Collection[str], reason: str) -> None:
    """Raise ArgumentError with REASON if an option was given that would have no effect."""
    for option in options_given(names):
        raise ArgumentError(f"{option} {reason}; leave it out")


def console() -> Console:
    """Return the console for progress and messages, on stderr: stdout is for results."""
    return Console(stderr=True, highlight=False, emoji=False)


def listed(kind: Callable[[str], Any], what: str) -> Callable[..., tuple[Any, ...]]:
    """Return an option's callback that reads A or A,B,C, each once, in the order given.

    WHAT names what was wanted. An option that was not given becomes (None,).
    """

    def read(_: click.Context, param: click.Parameter, value: str | None) -> tuple[Any, ...]:
        if value is None:
            return (None,)
        try:
            return tuple(dict.fromkeys(kind(part.strip()) for part in value.split(",")))
        except ValueError as error:
            raise click.BadParameter(f"{value!r} is not {what}", param=param) from error

    return read


def completes(
    words: Callable[[], Iterable[str]], *, or_file: bool = False
) -> Callable[[click.Context, click.Parameter, str], list[CompletionItem]]:
    """Return an option's `shell_complete`: WORDS that begin as what was typed.

    OR_FILE lets the shell complete a file name where no word does.
    """

    def complete(_: click.Context, __: click.Parameter, typed: str) -> list[CompletionItem]:
        found = [CompletionItem(word) for word in words() if word.startswith(typed)]
        return found or ([CompletionItem(typed, type="file")] if or_file else [])

    return complete


def positive(text: str) -> int:
    """Return the whole number above 0 that TEXT is; ValueError if it is none."""
    if not text.isdecimal() or int(text) == 0:
        raise ValueError(text)
    return int(text)
