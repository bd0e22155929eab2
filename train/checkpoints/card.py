"""The model card that travels inside a checkpoint."""

from .checkpoint import Origin


def model_card(title: str, origin: Origin) -> str:
    """Return what a stranger should know of the weights, as Markdown."""
    started = f"checkpoint {origin.parent}" if origin.parent else "no colorizer's weights"
    side = origin.crop_size or origin.native_size
    encoder = f" and an encoder with {origin.encoder_weights}" * bool(origin.encoder_weights)
    more = f", with colors {origin.saturation:g} times the answers'" * (origin.saturation != 1)
    figures = "\n".join(f"- {name}: {value:.3f}" for name, value in origin.figures.items())
    return f"""# {title}

A network that answers CIELAB a*, b* to L*, trained with the colorize toolkit.

- Photographs: {origin.data_name} (fingerprint {origin.data_fingerprint})
- Seen in training: {origin.photos_seen} crops of {side}x{side} \
in {origin.steps} steps, from {started}{encoder}
- License of the weights: {origin.license}
- Colors best at a working size of {origin.native_size}{more}

On validation photographs, kept out of the training by their content:

{figures}

Colors are plausible, not historical: nothing can know them from gray. Expect faults in clothes,
walls and painted things, which come in any color, and in what the photographs did not show.
"""
