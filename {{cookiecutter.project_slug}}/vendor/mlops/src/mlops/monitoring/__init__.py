"""Drift and performance of what is served."""
