"""How good a model is, in numbers: no disk, no sentences."""
