"""How much a client may send: sizes as people write them, and a limit while requests stream in."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]


def read_size(text: str) -> int:
    """Return the bytes that TEXT says, as 2GB, 500 MB, 1.5GiB or 4096; ValueError for others."""
    raise NotImplementedError


class BodyLimit:
    """ASGI middleware that answers 413 to a request whose body is too long, while it streams.

    `uploads` are limited by MOST bytes; all other requests, which hold painted layers at most, by
    MOST_OTHER.
    """

    def __init__(self, app: App, *, most: int, most_other: int = 256 << 20) -> None:
        raise NotImplementedError

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        raise NotImplementedError
