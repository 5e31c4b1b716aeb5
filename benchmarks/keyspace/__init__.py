"""`valkeyctl keys` beside valkey-cli, on the same keys of the same server in one run.

    python -m benchmarks.keyspace

What is timed are whole processes, from their start to their end, each round one of ours
and one of the peer's. benchmarks/README.md says what the rows mean.
"""
