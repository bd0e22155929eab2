"""What a person knows about the colors: hints, and how they reach the rest of a picture."""
