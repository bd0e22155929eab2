"""Networks that turn lightness into color, and the loop that trains them."""
