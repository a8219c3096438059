"""Tests of the engine, in place."""
