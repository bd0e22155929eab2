"""Losses and their weighted sum."""
