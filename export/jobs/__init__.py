"""What colorize-export does: one file a kind of result."""
