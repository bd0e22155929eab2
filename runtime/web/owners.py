"""Who asks, and how failures are told: what every function of the page begins and ends with."""

import hashlib
from collections.abc import Callable
from functools import wraps
from html import escape
from typing import Any

import gradio as gr

from ..errors import ColorizeError
from .guard import COOKIE


def owner_of(request: gr.Request) -> str:
    """Return whose photographs and films a request of the page is about."""
    cookies = request.cookies if request.request is not None else {}
    return owner(
        getattr(request, "username", None), cookies.get(COOKIE, ""), request.session_hash or ""
    )


def owner(user: str | None, cookie: str, session: str = "") -> str:
    """Return who it is: a user who has logged in, else a browser, else a program's session.

    A browser is known by its cookie; what is returned tells nobody the cookie.
    """
    if user:
        return f"user:{user}"
    kind, secret = ("browser", cookie) if cookie else ("session", session)
    return f"{kind}:{hashlib.sha256(secret.encode()).hexdigest()[:32]}"


def told(function: Callable[..., Any], *, plain: bool = False) -> Callable[..., Any]:
    """Return FUNCTION, whose failures that a user can mend are one line in the page.

    The page takes lines as HTML; PLAIN ones are for programs.
    """

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except ColorizeError as error:
            line = str(error) if plain else escape(str(error))
            raise gr.Error(line, duration=None, print_exception=False) from error

    return call
