"""Tests of the engine, on the kernels that `mlops` chooses: a run here and one there agree."""

from mlops.cli.main import one_kernel

one_kernel()
