"""The figures as tables, a page, and a file that a later run is compared with."""
