"""TensorRT's errors, kept for messages."""

from typing import Any


def error_log(trt: Any) -> Any:
    """Return a logger for TRT, tensorrt or tensorrt_rtx, that says nothing and keeps `errors`."""

    # A subclass inside a function, because the module is an argument.
    class Logger(trt.ILogger):  # type: ignore[misc]  # untyped base
        """Keeps TensorRT's errors for the message; says nothing by itself."""

        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.ERROR, trt.ILogger.INTERNAL_ERROR):
                self.errors.append(message)

    return Logger()
