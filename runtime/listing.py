"""What --list-models and --list-devices print: text, or one JSON object for programs."""

import json
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import click

from .errors import ModelError
from .models.catalog import ModelSummary, listed_models

if TYPE_CHECKING:
    from .engines.base import EngineDevice


def print_models(name: str, *, as_json: bool = False) -> bool:
    """Print the models that NAME stands for; return whether all can be used.

    A damaged one does not hide the others. ModelError if there is none.
    """
    found: dict[str, ModelSummary | ModelError] = {}
    listed = listed_models(name)
    for title, path in listed.items():
        try:
            found[title] = ModelSummary.of(path)
        except ModelError as error:
            found[title] = error
    if as_json:
        models = [
            {"name": title, "path": str(listed[title]), **_model_fields(model)}
            for title, model in found.items()
        ]
        click.echo(json.dumps({"models": models}, indent=2))
    else:
        for title, model in found.items():
            click.echo("\n  ".join(_model_lines(title, model)))
    return not any(isinstance(model, ModelError) for model in found.values())


def _model_fields(model: ModelSummary | ModelError) -> dict[str, object]:
    if isinstance(model, ModelError):
        return {"problem": str(model)}
    return {
        "architecture": model.architecture,
        "precision": model.precision,
        "bytes": model.path.stat().st_size,
        "native_size": model.native_size,
        "license": model.license,
        "figures": model.figures or {},
        "problem": None,
    }


def _model_lines(title: str, model: ModelSummary | ModelError) -> list[str]:
    if isinstance(model, ModelError):
        return [f"{title}: unusable: {model}"]
    size = f"{model.path.stat().st_size / 1e6:.1f} MB"
    works_at = f", colors best at {model.native_size} pixels" if model.native_size else ""
    figures = ", ".join(f"{key} {value:.3g}" for key, value in (model.figures or {}).items())
    return [
        f"{title}: {model.architecture}, {model.precision}, {size}{works_at}",
        f"quality: {figures or 'not measured'}",
        f"license: {model.license}",
    ]


def print_devices(*, as_json: bool = False) -> None:
    """Print a table on a terminal, else one line a device."""
    from .engines.select import engine_devices

    rows = device_rows(engine_devices())
    if as_json:
        click.echo(json.dumps({"devices": device_fields(rows)}, indent=2))
        return
    print_rows(rows)


Row = tuple[str, str, str, str]
"""Backend, device, hardware, problem."""


def device_rows(found: Mapping[str, "Sequence[EngineDevice]"]) -> list[Row]:
    """Return what is listed of devices by backend."""
    return [
        (backend, each.device, each.name, each.problem)
        for backend, devices in found.items()
        for each in devices
    ]


def device_fields(rows: Sequence[Row]) -> list[dict[str, str | None]]:
    """Return the ROWS as they stand in JSON."""
    names = ("backend", "device", "hardware", "problem")
    return [
        dict(zip(names, (*row[:2], *(text or None for text in row[2:])), strict=True))
        for row in rows
    ]


def print_rows(rows: Sequence[Row]) -> None:
    """Print a table on a terminal, else one line a device."""
    if sys.stdout.isatty():
        _print_table(rows)
        return
    for backend, device, name, problem in rows:
        place = " ".join(filter(None, [backend, device]))
        hardware = f" ({name})" if name else ""
        click.echo(f"{place}{hardware}: {f'no: {problem}' if problem else 'yes'}")


def _print_table(rows: Sequence[Row]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for heading in ("--backend", "--device", "hardware", "usable"):
        table.add_column(heading, overflow="fold")
    for backend, device, name, problem in rows:
        table.add_row(backend, device, name, f"no: {problem}" if problem else "yes")
    Console(highlight=False, markup=False).print(table)
