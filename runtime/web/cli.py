"""The command colorize-web: arguments only."""

from collections.abc import Callable
from pathlib import Path

import click

from ..command import Command, completes, console, require_extra
from ..errors import ArgumentError
from ..models.catalog import DEFAULT_MODEL, bundled_models


def _read_size(_: click.Context, param: click.Parameter, value: str) -> int:
    from .limits import read_size

    try:
        return read_size(value)
    except ValueError as error:
        raise click.BadParameter(
            f"{value!r} is no size; write 500MB or 2GB", param=param
        ) from error


@click.command(cls=Command, name="colorize-web")
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen at. Any other than this machine's own needs a login: see --add-user.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=7860,
    show_default=True,
    help="Port to listen at; the next free one if it is taken.",
)
@click.option("--no-browser", is_flag=True, help="Do not open the page in the browser.")
@click.option(
    "--workspace",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Folder for uploads, films and their results. Default: one among the user's data.",
)
@click.option(
    "--media",
    type=click.Path(path_type=Path, file_okay=False),
    multiple=True,
    metavar="DIR",
    help="Folder whose films every user of the page may open. Repeatable.",
)
@click.option(
    "--max-upload",
    callback=_read_size,
    default="2GB",
    show_default=True,
    metavar="SIZE",
    help="Refuse larger uploads.",
)
@click.option(
    "--model",
    default=DEFAULT_MODEL,
    show_default=True,
    shell_complete=completes(bundled_models, or_file=True),
    help="Model that the page begins with: a bundled model, an ONNX file, or a folder with one.",
)
@click.option(
    "--public-name",
    "names",
    multiple=True,
    metavar="NAME",
    help="Host name by which a proxy asks for the page, as colors.example.org. Repeatable.",
)
@click.option(
    "--add-user",
    metavar="NAME",
    help="Serve nothing: ask for a password and add a user, or give one another password.",
)
@click.version_option(package_name="colorize-toolkit")
def main(
    host: str,
    port: int,
    no_browser: bool,
    workspace: Path | None,
    media: tuple[Path, ...],
    max_upload: int,
    model: str,
    names: tuple[str, ...],
    add_user: str | None,
) -> int:
    """Color photographs and films on a page in the browser.

    Everything stays on this machine: the page is served to it alone unless --host names another
    address, and it fetches nothing from elsewhere.

    Exit codes: 0 ended by Ctrl-C, 2 bad arguments, or another server uses the workspace.

    Example: colorize-web --media ~/Films
    """
    from .workspace import default_workspace

    folder = workspace or default_workspace()
    if add_user is not None:
        return _add_user(folder, add_user)
    require_extra("web", ["gradio"])
    from .server import ServerOptions, serve

    options = ServerOptions(
        workspace=folder,
        host=host,
        port=port,
        media=media,
        max_upload=max_upload,
        model=model,
        names=names,
        browser=not no_browser,
    )
    serve(options, _say())
    return 0


def _say() -> Callable[[str], None]:
    terminal = console()

    def say(line: str) -> None:
        terminal.print(line, markup=False, soft_wrap=True)

    return say


def _add_user(folder: Path, name: str) -> int:
    from .users import add_user
    from .workspace import made_workspace

    password = click.prompt(f"Password for {name}", hide_input=True, confirmation_prompt=True)
    if not password:
        raise ArgumentError("the password is empty")
    add_user(made_workspace(folder).users, name, password)
    click.echo(f"{name} may log in from the next start on: a server reads its users then", err=True)
    return 0


if __name__ == "__main__":
    main()
