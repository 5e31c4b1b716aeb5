"""Talking to a deployment by hand: which program gives the prompt, and one of our own."""
