"""The load generator beside plain Locust, against an endpoint that does nothing."""
