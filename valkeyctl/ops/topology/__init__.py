"""Deployments of several servers: seeing all of it at once, and judging what is seen."""
