"""OpenVINO's compiled models, kept in the user's cache folder so that the next start is faster.

OpenVINO's own cache accepts a file with flipped bits, which gives wrong colors.
"""

import hashlib
import io
from contextlib import suppress
from pathlib import Path

import openvino
from platformdirs import user_cache_path

from ..errors import OutputError
from ..files import known_sha256, sha256, whole_file

_KEPT = 8  # files; the least recently used are deleted
_DIGEST = 32  # bytes at the start of a file: SHA-256 of the rest


def compile_model(
    core: openvino.Core,
    network: openvino.Model,
    model: Path,
    place: str,
    config: dict[str, str],
    *,
    part: str = "",
) -> openvino.CompiledModel:
    """Return NETWORK, which is PART of what is in the file MODEL, compiled for PLACE, such as CPU.

    A damaged entry is rebuilt; a cache that cannot be read or written is not used.
    """
    file = _file(core, model, place, config, part)
    with suppress(OSError, RuntimeError):  # RuntimeError: OpenVINO rejects the blob
        content = file.read_bytes()
        digest, blob = content[:_DIGEST], content[_DIGEST:]
        if hashlib.sha256(blob).digest() == digest:
            compiled = core.import_model(io.BytesIO(blob), place, config)
            file.touch()
            return compiled
    compiled = core.compile_model(network, place, config)
    with suppress(OSError, OutputError, RuntimeError):  # RuntimeError: a device that cannot export
        _store(file, compiled.export_model())
    return compiled


def _file(core: openvino.Core, model: Path, place: str, config: dict[str, str], part: str) -> Path:
    """Return the cache file; its name hashes all that a compiled model depends on."""
    able = [
        core.get_property(place, name) for name in ("FULL_DEVICE_NAME", "OPTIMIZATION_CAPABILITIES")
    ]
    content = known_sha256(model), part
    key = repr((openvino.__version__, place, able, sorted(config.items()), content))
    return user_cache_path("colorize") / "openvino" / f"{sha256(key.encode())[:32]}.blob"


def _store(file: Path, exported: io.BytesIO) -> None:
    blob = exported.getvalue()
    with whole_file(file) as part:
        part.write_bytes(hashlib.sha256(blob).digest() + blob)
    files = sorted(file.parent.glob("*.blob"), key=lambda path: path.stat().st_mtime)
    for old in files[:-_KEPT]:
        old.unlink(missing_ok=True)
