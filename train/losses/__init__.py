"""What a network pays for its answers."""
