"""What stories are told with: people and what they do, a clone, and a teller."""
