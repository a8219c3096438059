"""Tests of the engine, on the kernels that `mlops` chooses."""

from mlops.settings import prepare_process

prepare_process()
