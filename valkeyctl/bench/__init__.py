"""Load runs with and without the cache, and the statistics that compare them."""
