"""Entries from lines of JSON, CSV or an export into the cache, as fast as it takes them."""
