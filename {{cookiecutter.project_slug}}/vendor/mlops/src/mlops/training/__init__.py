"""From a snapshot to a fitted model and its file."""
