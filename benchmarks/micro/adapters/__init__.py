"""One module per library: how each does the same work."""
