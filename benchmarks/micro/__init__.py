"""`valkeyctl.caching` against the bare driver and its peers, on the same work in one run.

    python -m benchmarks.micro

Each library has a process and a virtual environment of its own; one of them works at a
time. benchmarks/README.md says what the rows mean and how to read the noise.
"""
