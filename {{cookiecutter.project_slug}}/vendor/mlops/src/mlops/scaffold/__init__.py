"""`mlops new`: a model folder for a file that nobody has described."""
