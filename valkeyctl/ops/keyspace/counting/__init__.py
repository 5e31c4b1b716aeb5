"""What is in a keyspace and what it costs: counted, or judged from a sample."""
