"""Tests of the rehearsal itself."""
