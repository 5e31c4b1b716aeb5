"""Observers for the metrics systems people run; each needs an extra of its own."""
