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
    """Return whose photographs and films a request is about.

    Those of a user who has logged in, else of a browser, which is known by a cookie, else, for
    programs, of a session. What is returned tells nobody the cookie.
    """
    username = getattr(request, "username", None)
    if username:
        return f"user:{username}"
    cookies = request.cookies if request.request is not None else {}
    cookie = cookies.get(COOKIE)
    kind, secret = ("browser", cookie) if cookie else ("session", request.session_hash or "")
    return f"{kind}:{hashlib.sha256(secret.encode()).hexdigest()[:32]}"


def told(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return FUNCTION, whose failures that a user can mend are one line in the page."""

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except ColorizeError as error:
            raise gr.Error(escape(str(error)), duration=None, print_exception=False) from error

    return call
