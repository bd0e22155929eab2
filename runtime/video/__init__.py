"""Video: decoded, colored frame by frame, and encoded beside its own sound and subtitles."""
