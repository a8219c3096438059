"""GitHub: its API, its events, and what is posted there."""
