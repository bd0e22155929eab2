"""Whole videos: how fast they are colored and whether their colors hold still."""
