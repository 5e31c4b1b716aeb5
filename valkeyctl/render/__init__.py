"""From a profile to the files that deploy it: pure functions, no file is opened."""
