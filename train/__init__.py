"""Networks that turn lightness into colour, and the loop that trains them."""
