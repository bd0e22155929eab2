"""Errors that a user can act on: each names the thing, what is wrong with it, and the fix."""


class ColorizeError(Exception):
    """Base of every error that this package raises on purpose."""

    exit_code = 2


class ArgumentError(ColorizeError):
    """An argument that cannot be used."""


class InputError(ColorizeError):
    """A photograph, film or data set that is missing or cannot be read."""


class OutputError(ColorizeError):
    """A result that cannot be written."""

    exit_code = 1


class ModelError(ColorizeError):
    """A model or checkpoint that is missing, damaged, or breaks its contract."""


class EngineError(ColorizeError):
    """An engine or device that was named and cannot be used."""


class OutOfMemoryError(EngineError):
    """Too little memory for this batch or picture size; a smaller one may fit."""


class MissingExtraError(ColorizeError):
    """A command whose optional dependencies are not installed."""


class ProofError(ColorizeError):
    """An exported file whose outputs differ from those of the network it was made from."""

    exit_code = 1


class TrainingError(ColorizeError):
    """A training run that cannot continue."""

    exit_code = 1
