"""Whether an exported file gives the answers of its network."""
