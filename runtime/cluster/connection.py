"""Joining a Ray cluster, or starting one here; what is wrong is told in one line."""

import logging
import os
import signal
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

from ..command import require_extra
from ..errors import ArgumentError, EngineError

TIMEOUT = 30.0
"""Seconds for a cluster to answer."""
_NEAR = 5.0  # seconds for one that was started here, of which nothing runs any more
_STORE_BYTES = 64 << 20  # of Ray's shared memory a worker; what waits in it is less
_LEAST_STORE = 256 << 20
_PORT = 6379  # of Ray's own control service
_CLIENT = "ray://"
# Ray's workers are nice to other programs, by 15; one that is started here has none to be nice to.
# Ray reports its start to its makers unless told not to.
_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_worker_niceness": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
_TOKEN_MODE, _OWN_TOKENS = "RAY_AUTH_MODE", ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")
_METHOD = "/ray.rpc.NodeInfoGcsService/GetClusterId"  # any that takes an empty message
_CLIENT_METHOD = "/ray.rpc.RayletDriver/ClusterInfo"
_TOKEN = ".ray/auth_token"  # in the home folder; Ray makes it when it first starts a cluster


@contextmanager
def connected(address: str, cores: int | None = None) -> Iterator[None]:
    """Join the cluster at ADDRESS for as long as the context lasts.

    ADDRESS is local, for one that is started here and ends with the context, auto, for the one that
    runs here, or HOST:PORT, or ray://HOST:PORT. A program that has joined one already stays in it.
    CORES is how many a local one has (default: those that this process may use).
    MissingExtraError without Ray, EngineError where nothing answers, or other versions run.
    """
    require_extra("cluster", ["ray"])
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    import ray

    if ray.is_initialized():
        yield
        return
    with nullcontext() if address == "local" else _same_token_mode_after():
        if address != "local":
            _agree_on_tokens(address)
        _join(address, cores)
        try:
            yield
        finally:
            ray.shutdown()


def _join(address: str, cores: int | None) -> None:
    import ray

    before = signal.getsignal(signal.SIGTERM)
    try:
        given = _arguments(address, cores)
        with warnings.catch_warnings(action="ignore"):
            ray.init(**given, log_to_driver=False, logging_level=logging.ERROR)
    except Exception as error:  # Ray raises plain ones too
        raise _refusal(address, error) from error
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)  # Ray's own would leave no time to tidy up


def _arguments(address: str, cores: int | None) -> dict[str, Any]:
    if address == "local":
        own = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        cores = cores or own or 1
        store = max(_STORE_BYTES * cores, _LEAST_STORE)
        return {"address": "local", "num_cpus": cores, "object_store_memory": store}
    return {"address": address}


@contextmanager
def _same_token_mode_after() -> Iterator[None]:
    """Have the token mode again after the context that was before it.

    Not after a cluster that was started here: Ray sets a mode for it, and a process in which that
    was taken back could not use the next cluster.
    """
    before = os.environ.get(_TOKEN_MODE)
    try:
        yield
    finally:
        if os.environ.get(_TOKEN_MODE) != before:
            _set_token_mode(before)


def _set_token_mode(mode: str | None) -> None:
    os.environ.pop(_TOKEN_MODE, None)
    if mode is not None:
        os.environ[_TOKEN_MODE] = mode
    with suppress(ImportError, AttributeError):  # a Ray that has it elsewhere
        from ray._raylet import Config  # type: ignore[attr-defined]  # its stubs lack it

        Config.initialize("")  # it read the environment when it was imported, and not since


def _agree_on_tokens(address: str) -> None:
    """Wait for the cluster at ADDRESS; show it the token of this machine only if it asks for one.

    Left alone, Ray shows none to a given address, which a cluster that asks for one refuses, and
    always shows one for auto. What the user chose stands. Raises what `_await_answer` raises, and
    EngineError if there is no token.
    """
    place, seconds = _sought(address)
    if place is None:
        return
    asks = _await_answer(address, place, seconds)
    if _TOKEN_MODE in os.environ:
        return
    if (
        asks
        and not any(os.environ.get(name) for name in _OWN_TOKENS)
        and not (Path.home() / _TOKEN).is_file()
    ):
        raise EngineError(
            f"--cluster {address}: asks for a token, and this machine has none: copy ~/{_TOKEN} "
            f"from its head, or set {_OWN_TOKENS[0]}"
        )
    _set_token_mode("token" if asks else "disabled")


def _sought(address: str) -> tuple[str | None, float]:
    """Return where Ray will look for ADDRESS, and the seconds to wait there; None: nowhere."""
    if address != "auto":
        return address, TIMEOUT
    from ray._private import services

    with suppress(AttributeError):  # of a Ray that remembers none
        services.find_gcs_addresses.cache_clear()  # type: ignore[attr-defined]
    try:
        place = services.get_ray_address_from_environment("auto", None)
    except ConnectionError:
        return None, 0.0  # there is none, as Ray then says
    lives = os.environ.get("RAY_ADDRESS") or services.find_gcs_addresses()  # type: ignore[no-untyped-call]
    return place if ":" in place else None, TIMEOUT if lives else _NEAR


def _await_answer(address: str, place: str, seconds: float) -> bool:
    """Wait SECONDS for an answer in gRPC, which Ray speaks, from PLACE; EngineError if none comes.

    Return whether it asks for a token. Ray's own attempts would take minutes, and end the process.
    """
    method = _CLIENT_METHOD if place.startswith(_CLIENT) else _METHOD
    target = place.removeprefix(_CLIENT)
    if ":" not in target:
        raise ArgumentError(
            f"--cluster {address}: is no address; give local, auto, HOST:{_PORT} or ray://HOST:10001"
        )
    import grpc

    channel = grpc.insecure_channel(target)
    try:
        channel.unary_unary(method)(b"", timeout=seconds, wait_for_ready=True)
    except grpc.RpcError as error:
        if error.code() in (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNAVAILABLE):
            at = "" if place == address else f", at {place}"
            raise EngineError(
                f"--cluster {address}{at}: nothing answered within {seconds:.0f} seconds; is the "
                "cluster running (ray status; ray start --head starts one), and is the port open?"
            ) from error
        return bool(error.code() is grpc.StatusCode.UNAUTHENTICATED)
    finally:
        channel.close()
    return False


def _refusal(address: str, error: Exception) -> EngineError:
    """Return the line about an ERROR of Ray's."""
    reason = " ".join(str(error).split())
    if address == "auto" and "Could not find any running Ray" in reason:
        return EngineError(
            "--cluster auto: no Ray cluster runs on this machine; start one with: ray start --head"
        )
    if "ersion mismatch" in reason:
        reason = f"has other versions: {reason}; install the same on all nodes"
    elif isinstance(error, ConnectionError) and os.environ.get(_TOKEN_MODE) == "token":
        reason += f"; has its head the same ~/{_TOKEN} as this machine?"
    return EngineError(f"--cluster {address}: {reason}")
