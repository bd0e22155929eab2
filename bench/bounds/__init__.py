"""The bounds that colorize-run keeps: speed and memory of videos, its cold start."""
