"""The caching library: plain arguments, no YAML, no command line."""
