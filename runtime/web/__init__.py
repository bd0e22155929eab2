"""The local web page on which photographs and films are colored, and what lies beneath it."""
