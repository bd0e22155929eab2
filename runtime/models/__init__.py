"""The model files: what they promise, which there are, and what was measured of them."""
