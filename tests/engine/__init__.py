"""Tests of the engine, on the kernels that `mlops` chooses: a run here and one there agree."""

from mlops.settings import prepare_process

prepare_process()
