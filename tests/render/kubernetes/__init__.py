"""kubernetes.yaml, and its scripts on containers that stand for pods."""
