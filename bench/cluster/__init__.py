"""What a cluster of workers gains: measured on this machine, and on paper for many."""
