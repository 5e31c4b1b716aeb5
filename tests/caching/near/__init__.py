"""The near cache."""
