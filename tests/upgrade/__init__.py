"""A repository of an earlier template, updated to the present one.

Its versions were trained on the kernels that `mlops` chooses.
"""

from mlops.settings import prepare_process

prepare_process()
