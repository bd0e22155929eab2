"""Networks on disk: built, saved, resumed, and described."""
