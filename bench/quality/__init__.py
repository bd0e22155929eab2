"""How good the colors of photographs are."""
