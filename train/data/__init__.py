"""Training photographs: found, indexed, decoded, and cropped."""
