"""More than one machine: films and photographs, colored by workers of a Ray cluster."""
