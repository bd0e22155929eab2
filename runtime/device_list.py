"""What --list-devices shows: every engine, where it may compute, and why it cannot."""

import sys

import click

from .engines.select import engine_devices


def print_devices() -> None:
    """Print a table on a terminal, else one line a device."""
    rows = [
        (backend, found.device, found.name, found.problem)
        for backend, devices in engine_devices().items()
        for found in devices
    ]
    if sys.stdout.isatty():
        _print_table(rows)
        return
    for backend, device, name, problem in rows:
        place = " ".join(filter(None, [backend, device]))
        hardware = f" ({name})" if name else ""
        click.echo(f"{place}{hardware}: {f'no: {problem}' if problem else 'yes'}")


def _print_table(rows: list[tuple[str, str, str, str]]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for heading in ("--backend", "--device", "hardware", "usable"):
        table.add_column(heading, overflow="fold")
    for backend, device, name, problem in rows:
        table.add_row(backend, device, name, f"no: {problem}" if problem else "yes")
    Console(highlight=False, markup=False).print(table)
