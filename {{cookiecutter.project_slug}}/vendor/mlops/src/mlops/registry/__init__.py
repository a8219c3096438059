"""Versions and stages of models, kept in git tags and releases."""
