"""U-Net+GAN: the U-Net generator, first by regression alone, then against a discriminator too."""

from dataclasses import replace

from . import unet

ARCHITECTURE = replace(
    unet.ARCHITECTURE,
    name="unetgan",
    summary="U-Net by regression, then against a patch discriminator too",
    # Regression first: a discriminator that meets a random U-Net wins at once and teaches nothing.
    adversarial_from=0.6,
)
