"""Measure the speed and the color of models."""
