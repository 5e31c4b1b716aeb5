"""The verbs of an operator: each a function that returns a result and never prints."""
