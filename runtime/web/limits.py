"""How much a client may send."""

import re

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(i?)b?", re.IGNORECASE)
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


def read_size(text: str) -> int:
    """Return the bytes that TEXT says, as 2GB, 500 MB, 1.5GiB or 4096; ValueError for others."""
    found = _SIZE.fullmatch(text.strip())
    size = 0
    if found is not None:
        base = 1024 if found[3] else 1000
        size = round(float(found[1]) * base ** _POWERS[found[2].lower()])
    if size == 0:
        raise ValueError(f"{text!r} is no size; write 2GB or 500MB")
    return size
