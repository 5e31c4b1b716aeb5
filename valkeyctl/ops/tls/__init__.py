"""Certificates of a deployment: made, checked, renewed on a running server."""
