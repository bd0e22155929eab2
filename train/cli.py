"""The command colorize-train: arguments only."""

import re
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TimeElapsedColumn, TimeRemainingColumn

from ..runtime.command import Command, completes, console, options_given, positive, require_extra
from ..runtime.errors import ArgumentError

if TYPE_CHECKING:
    from .config import TrainConfig
    from .data.photos import PhotoSet
    from .loop import Step

_MODULES = (
    "torch",
    "torchvision",
    "lightning_fabric",
    "safetensors",
    "tensorboard",
    "matplotlib",
    "platformdirs",
    "bracex",
)
_ARCHITECTURES = ("resnet", "unet", "gan", "unetgan")  # their registry imports torch
_PRESETS = ("small", "base", "large")
_UNITS = {"s": 1, "m": 60, "h": 3600}


def _duration(_: click.Context, param: click.Parameter, value: str | None) -> float | None:
    """Return seconds from 90, 90s, 15m or 2h."""
    if value is None:
        return None
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", value)
    if match is None or float(match[1]) == 0:
        raise click.BadParameter(f"{value!r} is not a duration; write 90s, 15m or 2h", param=param)
    return float(match[1]) * _UNITS[match[2] or "s"]


def _widths(_: click.Context, param: click.Parameter, value: str | None) -> tuple[int, ...] | None:
    """Return the numbers in 160,96,64."""
    if value is None:
        return None
    try:
        return tuple(positive(part) for part in value.split(","))
    except ValueError:
        message = f"{value!r} is not a list of widths; write 160,96,64"
        raise click.BadParameter(message, param=param) from None


def _override(_: click.Context, param: click.Parameter, pairs: tuple[str, ...]) -> dict[str, str]:
    """Split NAME=VALUE pairs."""
    for pair in pairs:
        if "=" not in pair:
            raise click.BadParameter(f"{pair!r} is not NAME=VALUE", param=param)
    return dict(pair.split("=", 1) for pair in pairs)


@click.command(cls=Command, name="colorize-train", no_args_is_help=False)
@click.option(
    "--arch",
    shell_complete=completes(lambda: _ARCHITECTURES),
    help="resnet, unet, gan or unetgan. Default: unet, or that of --init-from.",
)
@click.option(
    "--preset",
    show_default="small",
    shell_complete=completes(lambda: _PRESETS),
    help="small, base or large.",
)
@click.option(
    "--data",
    multiple=True,
    help="Folder of photographs (any nesting) or a tar; globs and {000..009} name several. May be "
    "repeated. Default: the sample photographs.",
)
@click.option(
    "--keep-tinted",
    is_flag=True,
    default=None,
    help="Train on photographs of a single hue, such as sepia, too.",
)
@click.option("--steps", type=click.IntRange(min=1), help="Stop after this many steps.")
@click.option("--epochs", type=float, help="Stop after this many passes over the data.")
@click.option("--max-time", callback=_duration, help="Stop after this time: 90s, 15m, 2h.")
@click.option(
    "--batch-size",
    type=int,
    help="Crops in a batch, of all processes together. Default: 16; 64 for 2,000 or more "
    "photographs on a GPU.",
)
@click.option(
    "--size",
    type=int,
    help="Side of the crops in pixels. Default: 128; 256 for 2,000 or more photographs on a GPU; "
    "with --init-from, the parent's.",
)
@click.option(
    "--lr", type=float, help="Highest learning rate. Default: 1e-3; 2e-4 with --init-from."
)
@click.option("--seed", type=int, show_default="0", help="Seed of all random draws.")
@click.option(
    "--init-from",
    metavar="default|FILE|RUN",
    shell_complete=completes(lambda: ["default"], or_file=True),
    help="Fine-tune the bundled colorizer, a checkpoint file, or the checkpoint of a run folder.",
)
@click.option(
    "--encoder",
    help="Replace the preset's encoder: resnet18 to resnet152, efficientnet_lite0 to "
    "efficientnet_lite2, or in a U-Net plain.",
)
@click.option(
    "--encoder-weights",
    metavar="NAME|FILE|none",
    help="Start the encoder from published weights (DEFAULT, IMAGENET1K_V1, ...) or a file. "
    "Default: published weights for efficientnet_lite0 to 2, none for the others.",
)
@click.option(
    "--decoder",
    metavar="N,N,...",
    callback=_widths,
    help="Replace the widths of the preset's decoder, deepest level first. With one level fewer, "
    "the network answers at half the size.",
)
@click.option(
    "--freeze-encoder",
    type=click.IntRange(min=0),
    metavar="STEPS",
    help="Keep the encoder unchanged for the first STEPS steps.",
)
@click.option(
    "--hints",
    is_flag=True,
    default=None,
    help="Train a network that takes color hints, with simulated ones. Default: with --init-from, "
    "as the parent.",
)
@click.option(
    "--freeze-norm",
    is_flag=True,
    default=None,
    help="Keep the batch norm statistics of --init-from; useful for a few dozen photographs.",
)
@click.option("--loss", "pixel_loss", show_default="huber", help="Loss on ab: huber or l1.")
@click.option(
    "--color-weights",
    show_default="none",
    help="Which colors weigh more: vividness, rarity or none.",
)
@click.option(
    "--gan-loss",
    "adversarial_loss",
    show_default="hinge",
    help="Adversarial loss: hinge or lsgan.",
)
@click.option("--perceptual", help="Add a perceptual loss: efficientnet_lite0 or vgg16.")
@click.option(
    "--perceptual-weights",
    metavar="NAME|FILE",
    show_default="DEFAULT",
    help="Weights of that network: a published name or a file. VGG-16 is downloaded.",
)
@click.option(
    "--precision",
    type=click.Choice(["auto", "bf16", "fp32"]),
    show_default="auto",
    help="Precision of the arithmetic. auto: bf16 where the hardware computes it, else fp32.",
)
@click.option(
    "--set",
    "overrides",
    metavar="NAME=VALUE",
    multiple=True,
    callback=_override,
    help="Change any other setting, such as ema_decay=0.999. An unknown name lists them all. "
    "May be repeated.",
)
@click.option(
    "--list", "list_only", is_flag=True, help="List the architectures, their presets and sizes."
)
@click.option("--card", metavar="FILE", help="Print the model card of a checkpoint.")
@click.option("--license", help="License of the weights, for the model card.")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="Run folder. Default: runs/ARCH/TIME."
)
@click.option(
    "--resume",
    type=click.Path(path_type=Path),
    help="Resume the training in this run folder. A new budget may be given, but no other setting.",
)
@click.version_option(package_name="colorize-toolkit")
@click.pass_context
def main(
    context: click.Context,
    /,
    data: tuple[str, ...],
    max_time: float | None,
    list_only: bool,
    card: str | None,
    license: str | None,
    output: Path | None,
    resume: Path | None,
    overrides: dict[str, str],
    **options: Any,
) -> None:
    """Train a colorizer.

    Without arguments it trains on the sample photographs for three minutes. The run folder gets
    the checkpoint, the settings, a log, loss curves and a grid of validation photographs. Ctrl-C
    saves, and --resume continues.

    Exit codes: 0 done, 1 the training failed or a file cannot be written, 2 bad arguments or
    unusable input, 130 interrupted.

    Example: colorize-train --arch unetgan --data ~/photos --max-time 2h
    """
    require_extra("train", _MODULES)
    if list_only:
        _list_architectures()
    elif card is not None:
        from .checkpoints.checkpoint import load_checkpoint

        click.echo(load_checkpoint(Path(card)).card)
    elif resume is not None:
        _refuse_other_settings(context)
        budget = {"max_seconds": max_time, "steps": options["steps"], "epochs": options["epochs"]}
        _resume(resume, budget, overrides)
    else:
        said = {"data": data or None, "max_seconds": max_time, "license": license}
        _start({**options, **said}, overrides, output)


def _start(options: dict[str, Any], overrides: dict[str, str], output: Path | None) -> None:
    """Train with OPTIONS, None where not given, and OVERRIDES of other settings."""
    from .checkpoints.build import inherited_settings
    from .config import parse_settings, resolve
    from .devices import Machine

    given = {name: value for name, value in options.items() if value is not None}
    given |= parse_settings(overrides)
    if given.get("encoder_weights") == "none":
        given["encoder_weights"] = None
    inherited = inherited_settings(given["init_from"]) if "init_from" in given else {}
    machine = Machine.here()
    config = resolve(given, machine, 0, inherited)  # bad settings fail before photos are read
    photos = _collect(config)
    config = resolve(given, machine, len(photos.photos), inherited)
    _train(config, photos, output)


def _refuse_other_settings(context: click.Context) -> None:
    """Refuse what a resumed run would ignore: it keeps the settings that it began with."""
    allowed = {"resume", "max_time", "steps", "epochs"}
    if context.params["overrides"].keys() == {"threads"}:
        allowed.add("overrides")  # faster on another machine, though it rounds differently
    for option in options_given(context.params.keys() - allowed):
        raise ArgumentError(f"--resume takes its settings from the run; leave {option} out")


def _resume(folder: Path, budget: dict[str, Any], overrides: dict[str, str]) -> None:
    from .config import parse_settings
    from .run import read_config

    config = replace(read_config(folder), **parse_settings(overrides))
    if any(budget.values()):
        config = replace(config, **budget)
    _train(config, _collect(config), folder, resume=True)


def _list_architectures() -> None:
    import torch

    from .architectures import ARCHITECTURES
    from .architectures.blocks import count_flops

    for entry in ARCHITECTURES.values():
        click.echo(f"{entry.name}: {entry.summary}")
        for preset, config in entry.presets.items():
            with torch.device("meta"):  # shapes alone, nothing is computed
                network = entry.build(config)
                flops = count_flops(network)
            weights = sum(parameter.numel() for parameter in network.parameters())
            click.echo(
                f"  {preset}: {weights / 1e6:.1f} M parameters, "
                f"{flops / 1e9:.1f} GFLOP at 256x256, {config}"
            )


def _train(
    config: "TrainConfig", photos: "PhotoSet", output: Path | None, *, resume: bool = False
) -> None:
    from .run import Run, new_run_folder

    terminal = _terminal()
    say = partial(terminal.print, soft_wrap=True, markup=False)
    run = Run(config, photos, output or new_run_folder(config.arch), resume=resume)
    weights = sum(parameter.numel() for parameter in run.state.network.parameters())
    say(
        f"{config.arch} {config.preset}: {weights / 1e6:.1f} M parameters; "
        f"{len(run.training)} training and {len(run.validation)} validation photographs, "
        f"batches of {run.config.batch_size} crops of {config.size}x{config.size}"
    )
    if run.config.batch_size < config.batch_size:
        say(f"batches of {config.batch_size} were asked for; there are no more photographs")
    columns = (
        "{task.description}",
        BarColumn(),
        "{task.fields[text]}",
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=terminal, disable=not terminal.is_terminal) as bar:
        task = bar.add_task("training", total=1.0, text="")

        def show(step: "Step") -> None:
            losses = " ".join(f"{name} {value:.3f}" for name, value in step.losses.items())
            text = f"step {step.number} {losses} {step.photos_per_second:.1f} photos/s"
            bar.update(task, completed=step.progress, text=text)

        def log(step: "Step", figures: dict[str, float]) -> None:
            measured = ", ".join(f"{name} {value:.2f}" for name, value in figures.items())
            say(f"{step.progress:4.0%} step {step.number}: {measured}")

        try:
            last = run.start(show, log)
        except KeyboardInterrupt:
            say(f"to go on: colorize-train --resume {run.folder}")
            raise
    if last is None:
        return  # only the main process reports
    say(f"{last.number} steps in {last.seconds:.0f} s, {last.photos_per_second:.1f} photos/s")
    if run.best_step != last.number:
        say(
            f"the validation loss was lowest after step {run.best_step}: "
            f"{run.folder / 'best.safetensors'}"
        )
    for name in ("checkpoint.safetensors", "curves.png", "validation.png", "log.csv", "run.json"):
        click.echo(run.folder / name)
    say(f"next: colorize-export --checkpoint {run.checkpoint}")


def _terminal() -> Console:
    """Return the console, silent in all processes but the main one."""
    from .devices import is_main_process

    terminal = console()
    terminal.quiet = not is_main_process()
    return terminal


def _collect(config: "TrainConfig") -> "PhotoSet":
    from .data.photos import collect

    terminal = _terminal()
    with Progress(console=terminal, transient=True, disable=not terminal.is_terminal) as bar:
        task = bar.add_task("reading photographs")
        photos = collect(
            config.data,
            lambda done, total: bar.update(task, completed=done, total=total),
            keep_tinted=config.keep_tinted,
        )
    if photos.gray or photos.tinted or photos.unreadable:
        kept = "; --keep-tinted trains on these too" if photos.tinted else ""
        terminal.print(
            f"left out: {len(photos.unreadable)} unreadable, {len(photos.gray)} gray or nearly "
            f"gray, {len(photos.tinted)} of a single hue, as sepia is{kept}",
            soft_wrap=True,
        )
    return photos


if __name__ == "__main__":
    main()
