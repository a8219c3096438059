"""The verdict: whether a model may replace the one in production."""
