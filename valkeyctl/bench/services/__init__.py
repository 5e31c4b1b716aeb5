"""What the load goes to: gateways, applications and servers that a run starts and ends."""
