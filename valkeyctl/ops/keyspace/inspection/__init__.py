"""Looking at keys: one in depth, or all of them as rows."""
