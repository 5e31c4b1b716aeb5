"""Runs and curves over a range of one thing: memory, TTL, value size, rate, users."""
