"""The load generator: a Locust child process whose arrivals, clock and samples are ours."""
