"""Copies of a deployment's data that can be trusted: taken, verified, kept, put back."""
