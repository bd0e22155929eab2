"""How fast a network answers, and what bounds it."""
