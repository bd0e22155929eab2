"""The server of the page: one process, one port, and who may ask it for what."""

import asyncio
import errno
import os
import socket
import threading
import webbrowser
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..command import without_converter
from ..errors import ArgumentError, ColorizeError
from ..models.catalog import DEFAULT_MODEL, bundled_models, find_model
from .films import Films
from .jobs import Jobs
from .media import Library
from .users import Users, generated_password
from .workspace import Workspace, open_workspace

if TYPE_CHECKING:
    from fastapi import FastAPI

Say = Callable[[str], None]
"""Gets each line for the terminal."""

_PORTS = 100  # tried from the one that was asked for
_LOOPBACK = frozenset(["localhost", "127.0.0.1", "::1"])
_NO_ADDRESS = frozenset([errno.EADDRNOTAVAIL])
_GRACE = 2  # seconds that requests have when the server stops


@dataclass(frozen=True, kw_only=True)
class ServerOptions:
    """What colorize-web is told."""

    workspace: Path
    host: str = "127.0.0.1"
    port: int = 7860  # 0: any that is free
    media: tuple[Path, ...] = ()
    max_upload: int = 2_000_000_000  # bytes
    model: str = DEFAULT_MODEL
    names: tuple[str, ...] = ()  # by which a proxy asks for the page
    browser: bool = True


def serve(options: ServerOptions, say: Say) -> None:
    """Serve the page until Ctrl-C; SAY gets each line for the terminal.

    ArgumentError for a host, model, folder or workspace that cannot be used.
    """
    models = known_models(options.model)
    with ExitStack() as stack:
        stack.enter_context(without_converter())
        workspace = stack.enter_context(open_workspace(options.workspace))
        users = _users(options, workspace, say)
        listener = stack.enter_context(listen(options.host, options.port))
        jobs = Jobs(Library(workspace, options.media), models)
        films = stack.enter_context(Films(jobs))
        app = build_app(jobs, films, options, users)
        url = address(options.host, listener.getsockname()[1])
        _run(app, listener, url, options, say)


def known_models(name: str) -> dict[str, Path]:
    """Return the models that the page offers, the one that it begins with first."""
    bundled = bundled_models()
    path = find_model(name)
    first = name if name in bundled else path.stem
    return {first: path} | {key: file for key, file in bundled.items() if key != first}


def build_app(jobs: Jobs, films: Films, options: ServerOptions, users: Users | None) -> "FastAPI":
    """Return the page with all that guards it, as an ASGI application."""
    workspace = jobs.library.workspace
    _quiet_gradio(workspace)
    import gradio as gr
    from fastapi import FastAPI, Request
    from starlette.responses import FileResponse, PlainTextResponse, Response
    from starlette.routing import Mount

    from .app import build, looks
    from .desk import Desk
    from .film_desk import FilmDesk
    from .guard import COOKIE, Guard, Rules
    from .owners import owner
    from .photos import Models, Photos
    from .uploads import Uploads

    models = {name: Path(path) for name, path in jobs.models.items()}
    photos = Photos(Models(models, next(iter(models))))
    films_desk = FilmDesk(jobs, films, has_media=bool(options.media))
    page = build(Desk(workspace, jobs.library, photos), films_desk)
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)

    @app.get("/results/{job}/{what}")
    def result(job: str, what: str, request: Request) -> Response:
        user = user_of(request.cookies) if users is not None else None
        try:
            found = jobs.find(job, owner(user, request.cookies.get(COOKIE, "")))
            file = films_desk.file_of(found, what)
        except ColorizeError as error:
            return PlainTextResponse(f"{error}\n", 404)
        name = found.download_name if what == "download" else None
        return FileResponse(file, filename=name)

    gr.mount_gradio_app(
        app,
        page,
        path="/",
        server_name=options.host,
        auth=None if users is None else _patient(users),
        allowed_paths=[],
        max_file_size=options.max_upload,
        footer_links=["api", "settings"],
        run_history=False,
        enable_monitoring=False,
        ssr_mode=False,
        pwa=False,
        mcp_server=False,
        show_error=False,
        **looks(),
    )
    # Gradio checks the paths that clients send only once it "has launched", and mounting is not
    # launching: without this line any file of this machine could be asked for.
    page.has_launched = True
    inner: Any = next(route.app for route in app.routes if isinstance(route, Mount))

    def user_of(cookies: Mapping[str, str]) -> str | None:
        names = (f"access-token-{inner.cookie_id}", f"access-token-unsecure-{inner.cookie_id}")
        found = (inner.tokens.get(cookies[name]) for name in names if name in cookies)
        return next((user for user in found if user is not None), None)

    rules = Rules(
        names=allowed_names(options.host, options.names),
        max_upload=options.max_upload,
        any_address=not _is_loopback(options.host),
    )
    app.add_middleware(
        Guard,
        rules=rules,
        user_of=None if users is None else user_of,
        uploads=Uploads(workspace.incoming),
    )
    return app


def _patient(users: Users) -> Callable[[str, str], Awaitable[bool]]:
    """Return USERS for Gradio: guesses wait for each other, and the page for none of them."""
    turn = asyncio.Semaphore(1)

    async def login(name: str, password: str) -> bool:
        async with turn:
            return await asyncio.to_thread(users, name, password)

    return login


def allowed_names(host: str, more: Sequence[str] = ()) -> frozenset[str]:
    """Return the names in Host headers that are answered, for a server that binds to HOST."""
    own = set(_LOOPBACK)
    if not _is_loopback(host):
        own |= {host.strip("[]").lower(), socket.gethostname().lower(), socket.getfqdn().lower()}
    return frozenset(own | {name.lower() for name in more})


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket at PORT of HOST or the next free one; ArgumentError if none is."""
    bare = host.strip("[]")
    family = socket.AF_INET6 if ":" in bare else socket.AF_INET
    for each in range(port, min(port + _PORTS, 65536)) if port else (0,):
        listener = socket.socket(family, socket.SOCK_STREAM)
        if os.name == "posix":  # Windows would let two servers share a port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((bare, each))
            listener.listen(128)
        except OSError as error:
            listener.close()
            if error.errno == errno.EACCES:
                raise ArgumentError(
                    f"--port {each}: needs more rights here; take one above 1023"
                ) from error
            if isinstance(error, socket.gaierror) or error.errno in _NO_ADDRESS:
                raise ArgumentError(f"--host {host}: is no address of this machine") from error
            continue
        return listener
    raise ArgumentError(f"--port {port}: neither it nor the {_PORTS - 1} after it are free")


def address(host: str, port: int) -> str:
    """Return the URL of the page."""
    bare = host.strip("[]")
    shown = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(bare, bare)
    return f"http://[{shown}]:{port}/" if ":" in shown else f"http://{shown}:{port}/"


def _users(options: ServerOptions, workspace: Workspace, say: Say) -> Users | None:
    """Return who may log in; None on loopback where nobody was added: no one has to."""
    users = Users.read(workspace.users)
    if _is_loopback(options.host):
        return users or None
    say(
        f"{options.host} is reached by other machines, and passwords and pictures go to them "
        "unencrypted: put a TLS proxy (nginx, Caddy) in front"
    )
    if users:
        return users
    password = generated_password()
    say(f"user: colorize, password of this run: {password} (colorize-web --add-user NAME adds one)")
    return Users.one("colorize", password)


def _is_loopback(host: str) -> bool:
    bare = host.strip("[]").lower()
    try:
        return ip_address(bare).is_loopback
    except ValueError:
        return bare == "localhost"


def _quiet_gradio(workspace: Workspace) -> None:
    """Tell Gradio, before it is imported, where uploads go, and to ask no other server."""
    os.environ["GRADIO_TEMP_DIR"] = str(workspace.incoming)
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    # Its page of figures is not served; without these, they are computed anew after each call.
    os.environ["GRADIO_ANALYTICS_CACHE_FREQUENCY"] = str(1 << 62)
    os.environ["GRADIO_ANALYTICS_MAX_EVENTS"] = "1"
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    for name in ("GRADIO_SHARE", "GRADIO_ALLOWED_PATHS", "GRADIO_LOCAL_DEV_MODE"):
        os.environ.pop(name, None)


def _run(
    app: "FastAPI", listener: socket.socket, url: str, options: ServerOptions, say: Say
) -> None:
    import uvicorn

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if self.started:
                say(f"Colorize is at {url} (Ctrl-C ends it)")
                if options.browser:
                    threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()

    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=_GRACE,
        server_header=False,
        proxy_headers=False,
        ws="none",
    )
    try:
        Server(config).run(sockets=[listener])
    except KeyboardInterrupt:  # it has stopped in order, and passes on why
        return
