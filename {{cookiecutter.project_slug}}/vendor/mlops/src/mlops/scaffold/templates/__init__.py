"""Files that a new model starts from."""
