"""A sample application: items kept cache-aside over a slow origin, for `valkeyctl bench`."""
