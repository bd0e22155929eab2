"""From a run to weights that are shipped: working size and saturation, chosen on validation."""

import copy
from collections.abc import Mapping
from dataclasses import replace

import torch

from ...runtime.errors import ArgumentError
from .card import model_card
from .checkpoint import Checkpoint


def bake_saturation(
    checkpoint: Checkpoint, size: int, saturation: float, figures: Mapping[str, float]
) -> Checkpoint:
    """Return CHECKPOINT for working SIZE in pixels, its a* and b* multiplied by SATURATION.

    FIGURES, of validation photographs under that choice, take the place of the run's own.
    ArgumentError for a size that its strides do not divide, or a saturation outside 0..4.
    """
    multiple = checkpoint.network.size_multiple
    if size % multiple or size <= 0:
        raise ArgumentError(f"size is {size}; this network needs a multiple of {multiple}")
    if not 0 < saturation <= 4:
        raise ArgumentError(f"saturation is {saturation}; it must lie above 0, up to 4")
    network = copy.deepcopy(checkpoint.network)
    with torch.no_grad():
        for part in network.head.project.parameters():  # the layer that gives ab
            part.mul_(saturation)
    origin = replace(
        checkpoint.origin,
        native_size=size,
        crop_size=checkpoint.origin.crop_size or checkpoint.origin.native_size,
        saturation=checkpoint.origin.saturation * saturation,
        figures=dict(figures),
    )
    title = checkpoint.card.partition("\n")[0].removeprefix("# ") or checkpoint.arch
    return replace(checkpoint, network=network, origin=origin, card=model_card(title, origin))
