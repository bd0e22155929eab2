"""Measure the speed and the colour of models."""
