"""What the samples of a run say of each arm, and what may be concluded."""
