"""Photographs: read, colored at full size, and written with all that their files say."""
