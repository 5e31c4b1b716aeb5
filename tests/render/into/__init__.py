"""A server merged into files that somebody else wrote."""
