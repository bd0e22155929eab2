"""What computes a model: one interface, one file for each library."""
