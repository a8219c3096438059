"""`mlops validate`: the snapshot is made and its data contract asked."""

from __future__ import annotations

import time

from mlops.data.contract import check
from mlops.data.dataset import Dataset, build
from mlops.project import Project
from mlops.results import Validation
from mlops.spec import ModelSpec


def validate(project: Project, name: str, spec: ModelSpec) -> tuple[Dataset | None, Validation]:
    """Read a model's data, ask its contract and write snapshot and answer into `build/NAME`.

    No dataset where declared columns are missing; the contract is not asked then. UsageError when
    the data cannot be read or learnt from, or the contract is no contract.
    """
    started = time.perf_counter()
    folder, out = project.folder(name), project.build(name)
    dataset, expectations = build(spec, folder)
    if dataset is not None:
        expectations += check(spec, folder / "contract.py", dataset.frame)
        dataset.save(out)
    validation = Validation(
        ok=all(expectation.ok for expectation in expectations),
        snapshot=dataset.snapshot if dataset else None,
        expectations=expectations,
        seconds=round(time.perf_counter() - started, 3),
    )
    validation.save(out)
    return dataset, validation
