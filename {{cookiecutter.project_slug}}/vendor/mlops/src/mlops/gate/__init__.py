"""The verdict on whether a model may replace the one in production."""
