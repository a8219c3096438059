"""A data contract, checked by Great Expectations.

Great Expectations computes, but for what `contract_arrays` answers as it would; the
words are ours, made from the plain values of its results, so that what a person reads
is one sentence and no value of a sensitive column is in it.
"""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops.config.model_spec import ModelSpec
from mlops.data.contract_arrays import quick_result
from mlops.data.contract_wording import absent_column, answered, columns_of, one_line
from mlops.errors import UsageError
from mlops.io.files import cannot
from mlops.io.user_code import blaming, load_function
from mlops.results.data import Expectation

if TYPE_CHECKING:
    import pandas as pd


# Some of the first offenders only: complete lists of them would not fit into memory.
_RESULT_FORMAT = {"result_format": "BASIC", "partial_unexpected_count": 20}


def check(
    spec: ModelSpec, contract_file: Path, frame: pd.DataFrame
) -> tuple[Expectation, ...]:
    """Check every expectation of a contract on the rows of a `Dataset`.

    Parameters
    ----------
    spec : ModelSpec
        Says which columns are sensitive: of those, no value is ever in a result.
    contract_file : Path
        With ``def expectations(gxe) -> list``, `gxe` being
        `great_expectations.expectations`.
    frame : DataFrame, shape (n_rows, n_columns)
        Time and memory are linear in `n_rows`.

    Returns
    -------
    tuple of Expectation
        In the order of the contract. One that raises or is not answered has failed.
    """
    with quiet():
        expectations = _load(contract_file)
        missing = {}
        left = {}
        answers: dict[int, dict[str, Any]] = {}
        for position, expectation in enumerate(expectations):
            absent = [c for c in columns_of(expectation) if c not in frame.columns]
            quick = quick_result(expectation, frame)
            if absent:
                missing[position] = absent
            elif quick is not None:
                answers[position] = quick
            else:
                left[position] = expectation
        if left:
            answers |= _evaluate(left, frame)
    results = []
    for position, expectation in enumerate(expectations):
        if position in missing:
            names = list(map(str, frame.columns))
            results.append(absent_column(expectation, missing[position], names))
        else:
            result = answers.get(position, {})
            results.append(answered(expectation, result, spec.sensitive))
    return tuple(results)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep Great Expectations from logging, warning and sending anything home."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        logging.disable(before)


def _load(path: Path) -> list[Any]:
    """Return the expectations of a contract file."""
    shown = "/".join(path.parts[-3:])
    try:
        source = path.read_bytes()
    except FileNotFoundError as error:
        raise UsageError(
            "there is no data contract",
            file=shown,
            do="write it: def expectations(gxe): return [...]",
        ) from error
    except OSError as error:
        raise cannot("read", path, error) from error
    function = load_function(source, shown, "expectations")
    import great_expectations.expectations as gxe
    from great_expectations.expectations.expectation import Expectation as Base

    with blaming(shown):
        expectations = function(gxe)
    wrong = [expectations]
    if isinstance(expectations, list):
        wrong = [item for item in expectations if not isinstance(item, Base)]
    if wrong:
        raise UsageError(
            "expectations(gxe) must return a list of expectations",
            file=shown,
            found=one_line(repr(wrong[0])),
            allowed="[gxe.ExpectColumnValuesToNotBeNull(column=...), ...]",
        )
    return list(expectations)


def _evaluate(
    expectations: Mapping[int, Any], frame: pd.DataFrame
) -> dict[int, dict[str, Any]]:
    """Return the plain result of each expectation, by its position in the contract.

    The engine is given the frame itself. Through a context and a data source, Great
    Expectations would hash every value twice, which takes longer than all expectations
    together, and leave temporary folders behind.
    """
    from great_expectations.execution_engine import PandasExecutionEngine
    from great_expectations.validator.validator import Validator

    validator = Validator(PandasExecutionEngine(batch_data_dict={"rows": frame}))
    validator.metrics_calculator.show_progress_bars = False
    configurations = []
    for position, expectation in expectations.items():
        configuration = expectation.configuration
        configuration.meta = {"position": position}
        configurations.append(configuration)
    results = validator.graph_validate(
        configurations, {"result_format": _RESULT_FORMAT}
    )
    return {r.expectation_config.meta["position"]: r.to_json_dict() for r in results}
