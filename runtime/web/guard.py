"""What every request passes before the page sees it: who asks, by which name, and for what."""

import json
import logging
import re
import secrets
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.formparsers import MultiPartException
from starlette.requests import cookie_parser
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .uploads import Uploads

_log = logging.getLogger("uvicorn.error")  # the server's own
COOKIE = "colorize-owner"
"""Of a browser: what tells its photographs and films from those of others where no one logs in."""
_SECRET = re.compile(r"[A-Za-z0-9_-]{22,64}")
_COOKIE_SECONDS = 365 * 24 * 3600
_MOST_SESSIONS = 10_000
_MOST_JSON = 4 << 20  # bytes: strokes, above all
_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; media-src 'self' blob:; "
    "font-src 'self' data:; connect-src 'self' data: blob:; worker-src 'self' blob:; "
    "object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
)
"""No browser fetches anything from elsewhere, whatever a script of the page may try."""
_PAGE = re.compile(
    r"/(|config/?|theme\.css|favicon\.ico|robots\.txt|manifest\.json|logout/?|login/?)"
    r"|/(assets|static|svelte)/.+"
    r"|/results/[A-Za-z0-9_-]{22}/[a-z0-9_-]{1,40}"
)
_API = re.compile(
    r"/gradio_api/(info/?|openapi\.json|app_id/?|user/?|login_check/?|token/?|startup-events"
    r"|theme\.css|heartbeat/[^/]+|queue/(join|data|status)|call/(v2/)?[^/]+(/[^/]+)?/?|run/[^/]+/?"
    r"|upload|upload_progress|cancel|reset/?|file=.+)"
)
_UPLOAD = "/gradio_api/upload"
_BODILESS = frozenset(["GET", "HEAD", "OPTIONS"])


UserOf = Callable[[Mapping[str, str]], str | None]
"""Returns who has logged in with a request's cookies, if anybody has."""


@dataclass(frozen=True)
class Rules:
    """What is let through."""

    names: frozenset[str]  # by which the page may be asked for
    max_upload: int  # bytes a request
    any_address: bool = False  # addresses that are numbers count as its names


class RefusalError(Exception):
    """A request that is not answered, and with which status."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class Guard:
    """ASGI middleware: refuses foreign hosts, origins, routes, addresses and too much data."""

    def __init__(
        self,
        app: ASGIApp,
        rules: Rules,
        user_of: UserOf | None = None,
        uploads: Uploads | None = None,
    ) -> None:
        self._app, self._rules, self._user_of, self._uploads = app, rules, user_of, uploads
        self._sessions: OrderedDict[str, str] = OrderedDict()  # whose cookie each one belongs to

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or say why not."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":  # the page has no web sockets
            return
        try:
            await self._http(scope, receive, send)
        except RefusalError as refusal:
            answer = PlainTextResponse(f"{refusal}\n", refusal.status)
            await answer(scope, receive, _Answer(send))

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        self._check_host(headers)
        self._check_origin(scope["method"], headers)
        path = scope["path"]
        if not (_PAGE.fullmatch(path) or _API.fullmatch(path)):
            raise RefusalError(404, "there is no such page")
        if path.startswith("/gradio_api/file="):
            _check_file(path.removeprefix("/gradio_api/file="))
        if re.search(r"[?&]deep_link=", f"?{scope['query_string'].decode('latin-1')}"):
            raise RefusalError(404, "there is no such page")
        cookies = _cookies(headers)
        user = None if self._user_of is None else self._user_of(cookies)
        if self._user_of is not None and user is None and not self._is_open(path):
            raise RefusalError(401, "log in first")
        owner, fresh = cookies.get(COOKIE, ""), None
        if not _SECRET.fullmatch(owner):
            owner = ""
            if path == "/":
                fresh = secrets.token_urlsafe(32)
        answer = _Answer(send, fresh)
        if scope["method"] not in _BODILESS:
            receive = await self._checked_body(path, headers, owner, receive, answer)
        if path.startswith("/gradio_api/heartbeat/"):
            self._check_session(path.rpartition("/")[2], owner)
        for name, value in _query(scope):
            if name == "session_hash":
                self._check_session(value, owner)
        kept = self._uploads if path == _UPLOAD else None
        try:
            with nullcontext() if kept is None else kept.one():
                await self._app(scope, receive, answer)
        except Exception:
            if answer.instead is None:
                _log.exception("%s %s failed", scope["method"], path)
                if not answer.begun:
                    raise RefusalError(500, "that failed; the server's terminal says why") from None
        if answer.instead is not None:
            raise answer.instead

    @staticmethod
    def _is_open(path: str) -> bool:
        """Whether PATH is answered before somebody logs in: the form for it, and what it needs."""
        return not path.startswith(("/gradio_api/", "/results/", "/config")) or path.rstrip(
            "/"
        ) in (
            "/gradio_api/app_id",
            "/gradio_api/login_check",
            "/gradio_api/startup-events",
            "/gradio_api/theme.css",
        )

    def _check_host(self, headers: Headers) -> None:
        given = headers.getlist("host")
        name = host_of(given[0]) if len(given) == 1 else ""
        if name in self._rules.names or (self._rules.any_address and is_address(name)):
            return
        raise RefusalError(
            421, "this page is not known by that name; ask for it by the address that it printed"
        )

    @staticmethod
    def _check_origin(method: str, headers: Headers) -> None:
        origin = headers.get("origin")
        same = origin is None or origin.partition("://")[2] == headers.get("host")
        if not same and method not in ("GET", "HEAD"):
            raise RefusalError(403, "another site asks for this")
        if headers.get("sec-fetch-site") in ("cross-site", "same-site") and not (
            method == "GET" and headers.get("sec-fetch-mode") == "navigate"
        ):
            raise RefusalError(403, "another site asks for this")

    async def _checked_body(
        self, path: str, headers: Headers, owner: str, receive: Receive, answer: "_Answer"
    ) -> Receive:
        """Return RECEIVE of a body that is within its limit and names no address elsewhere."""
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if path == _UPLOAD:
            most = self._rules.max_upload + (1 << 16)
            return _cleared(_limited(receive, most, headers, answer))
        if path.startswith("/login"):
            return _limited(receive, 1 << 14, headers, answer)
        if kind != "application/json":
            raise RefusalError(415, "send it as application/json")
        body = await _whole(_limited(receive, _MOST_JSON, headers, answer))
        try:
            content = json.loads(body or b"null")
        except (ValueError, RecursionError):
            raise RefusalError(400, "the body is no JSON") from None
        for name, value in _members(content):
            if (
                name in ("path", "url")
                and isinstance(value, str)
                and _is_elsewhere(_without_own(value, headers["host"]) if name == "url" else value)
            ):
                raise RefusalError(400, "files are uploaded; addresses are not fetched")
            if name == "session_hash" and isinstance(value, str):
                self._check_session(value, owner)
        return _again(body, receive)

    def _check_session(self, session: str, owner: str) -> None:
        """Refuse the session of another browser's page."""
        known = self._sessions.setdefault(session, owner)
        self._sessions.move_to_end(session)
        if len(self._sessions) > _MOST_SESSIONS:
            self._sessions.popitem(last=False)
        if known != owner:
            raise RefusalError(403, "this session is another browser's")


def host_of(host: str) -> str:
    """Return the name in a Host header, without its port, in lower case."""
    found = re.fullmatch(r"(\[[0-9a-fA-F:.]+\]|[^:\[\]]+)(:\d{1,5})?", host.strip())
    return found[1].strip("[]").rstrip(".").lower() if found else ""


def is_address(name: str) -> bool:
    """Whether NAME is an IP address, which nobody can rebind."""
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _check_file(path: str) -> None:
    if _is_elsewhere(path) or "\0" in path:
        raise RefusalError(403, "there is no such file")


def _is_elsewhere(text: str) -> bool:
    return re.match(r"\s*(//|\\\\|[A-Za-z][A-Za-z0-9+.-]+:)", text) is not None


def _without_own(url: str, host: str) -> str:
    """Return URL without this server's own address, which a proxy with TLS makes https."""
    return url.removeprefix(f"http://{host}/").removeprefix(f"https://{host}/")


def _cookies(headers: Headers) -> dict[str, str]:
    # Not by SimpleCookie, which stops at the odd cookies of other programs on this host.
    return cookie_parser("; ".join(headers.getlist("cookie")))


def _query(scope: Scope) -> Sequence[tuple[str, str]]:
    from urllib.parse import parse_qsl

    return parse_qsl(scope["query_string"].decode("latin-1"))


def _members(content: Any) -> Iterator[tuple[str, Any]]:
    """Yield the name and value of each member of all objects in CONTENT."""
    left = [content]
    while left:
        one = left.pop()
        if isinstance(one, dict):
            yield from one.items()
            left.extend(one.values())
        elif isinstance(one, list):
            left.extend(one)


def _limited(receive: Receive, most: int, headers: Headers, answer: "_Answer") -> Receive:
    """Return RECEIVE that ends after MOST bytes; ANSWER then says so, whatever is answered."""
    said = headers.get("content-length", "0")
    if said.isdecimal() and int(said) > most:
        raise _too_much(most)
    seen = 0

    async def limited() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > most:
            answer.instead = _too_much(most)
            raise answer.instead
        return message

    return limited


def _cleared(receive: Receive) -> Receive:
    """Return RECEIVE of an upload whose end in the middle makes Gradio delete what it has of it."""
    whole = False

    async def cleared() -> Message:
        nonlocal whole
        try:
            message = await receive()
        except RefusalError as refusal:
            raise MultiPartException(str(refusal)) from refusal
        if message["type"] == "http.disconnect" and not whole:
            raise MultiPartException("the client is gone")
        whole = not message.get("more_body", False)
        return message

    return cleared


def _too_much(most: int) -> RefusalError:
    return RefusalError(413, f"that is more than {most / 1e6:.0f} MB; --max-upload sets the limit")


async def _whole(receive: Receive) -> bytes:
    body = b""
    while True:
        message = await receive()
        body += bytes(message.get("body", b""))
        if message["type"] != "http.request" or not message.get("more_body"):
            return body


def _again(body: bytes, receive: Receive) -> Receive:
    """Return RECEIVE, before which BODY comes once more."""
    sent = False

    async def again() -> Message:
        nonlocal sent
        if sent:
            return await receive()
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


class _Answer:
    """A `send` that adds what browsers must keep to, and the cookie of a new browser."""

    def __init__(self, send: Send, owner: str | None = None) -> None:
        self.instead: RefusalError | None = None
        """What is answered in place of what the application makes of a body that was cut."""
        self._send, self._owner = send, owner
        self.begun = False  # whether a client has got the start of it

    async def __call__(self, message: Message) -> None:
        if self.instead is not None and not self.begun:
            return  # the guard answers
        if message["type"] == "http.response.start":
            self.begun = True
            headers = MutableHeaders(scope=message)
            headers["Content-Security-Policy"] = _POLICY
            headers["X-Content-Type-Options"] = "nosniff"
            headers["Referrer-Policy"] = "no-referrer"
            headers["Cross-Origin-Resource-Policy"] = "same-origin"
            if self._owner is not None:
                headers.append(
                    "Set-Cookie",
                    f"{COOKIE}={self._owner}; Path=/; Max-Age={_COOKIE_SECONDS}; HttpOnly; "
                    "SameSite=Strict",
                )
        await self._send(message)
