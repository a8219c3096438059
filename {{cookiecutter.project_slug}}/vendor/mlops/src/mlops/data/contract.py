"""A data contract, checked by Great Expectations.

On small data, importing Great Expectations takes longer than everything else together. So a second
process does it while this one reads, and answers when the snapshot is there. Great Expectations
computes; the words are ours, from the plain values of its results, so that what a person reads is
one sentence and no value of a sensitive column is in it.
"""

from __future__ import annotations

import contextlib
import gc
import json
import logging
import os
import signal
import sys
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops.config.model_spec import ModelSpec
from mlops.errors import MlopsError, UsageError, did_you_mean, listed
from mlops.io.files import cannot
from mlops.io.user_code import blaming, load_function
from mlops.results.data import Expectation

if TYPE_CHECKING:
    import pandas as pd


# What comes after "should" for the endings of Great Expectations' names that people meet most;
# any other is told by its own words and parameters.
_VERBS = {
    "be_between": "be {range}",
    "be_in_set": "be among {value_set}",
    "not_be_in_set": "not be among {value_set}",
    "be_null": "be missing",
    "not_be_null": "not be missing",
}

_LIMITS = {"at least": "min_value", "at most": "max_value", "in": "quantile_ranges"}

_COLUMN_KEYS = ("column", "column_A", "column_B", "column_list")


def _answer(question: bytes) -> dict[str, Any]:
    """Return what the contract says of a snapshot, or what is wrong with the contract."""
    from mlops.data.snapshot import snapshot_frame

    spec, contract, folder = json.loads(question)
    try:
        found = check(ModelSpec(**spec), Path(contract), snapshot_frame(Path(folder)))
    except MlopsError as error:
        return {
            "problems": [vars(p) for p in error.problems],
            "exit_code": error.exit_code,
        }
    return {"problems": [], "expectations": [e.model_dump(mode="json") for e in found]}


# -- asking the contract --------------------------------------------------------------------------


def check(
    spec: ModelSpec, contract_file: Path, frame: pd.DataFrame
) -> tuple[Expectation, ...]:
    """Ask every expectation of a contract of the rows of a `Dataset`.

    Parameters
    ----------
    spec : ModelSpec
        Says which columns are sensitive: of those, no value is ever in a result.
    contract_file : Path
        With ``def expectations(gxe) -> list``, `gxe` being `great_expectations.expectations`.
    frame : DataFrame, shape (n_rows, n_columns)
        Time and memory are linear in `n_rows`.

    Returns
    -------
    tuple of Expectation
        In the order of the contract. One that raises or is not answered is a failed one.
    """
    with quiet():
        asked = _load(contract_file)
        absent = [[c for c in _columns(e) if c not in frame.columns] for e in asked]
        answers = _ask({i: e for i, e in enumerate(asked) if not absent[i]}, frame)
    return tuple(
        _absent(e, absent[i], frame)
        if absent[i]
        else _told(spec, e, answers.get(i, {}))
        for i, e in enumerate(asked)
    )


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
        do = "write it: def expectations(gxe): return [...]"
        raise UsageError("there is no data contract", file=shown, do=do) from error
    except OSError as error:
        raise cannot("read", path, error) from error
    function = load_function(source, shown, "expectations")
    import great_expectations.expectations as gxe
    from great_expectations.expectations.expectation import Expectation as Base

    with blaming(shown):
        asked = function(gxe)
    wrong = (
        [i for i in asked if not isinstance(i, Base)]
        if isinstance(asked, list)
        else [asked]
    )
    if wrong:
        what = "expectations(gxe) must return a list of expectations"
        allowed = "[gxe.ExpectColumnValuesToNotBeNull(column=...), ...]"
        raise UsageError(what, file=shown, found=_line(repr(wrong[0])), allowed=allowed)
    return list(asked)


def _ask(asked: Mapping[int, Any], frame: pd.DataFrame) -> dict[int, dict[str, Any]]:
    """Return the plain result of each expectation, by its position in the contract.

    The engine is given the frame itself. Through a context and a data source, Great Expectations
    would hash every value twice, which takes longer than all questions together, and leave
    temporary folders behind.
    """
    from great_expectations.execution_engine import PandasExecutionEngine
    from great_expectations.validator.validator import Validator

    validator = Validator(PandasExecutionEngine(batch_data_dict={"rows": frame}))
    validator.metrics_calculator.show_progress_bars = False
    configurations = []
    for position, expectation in asked.items():
        configurations.append(expectation.configuration)
        configurations[-1].meta = {"position": position}
    # Some of the first offenders only; complete lists of them would not fit into memory.
    result_format = {"result_format": "BASIC", "partial_unexpected_count": 20}
    results = validator.graph_validate(configurations, {"result_format": result_format})
    return {r.expectation_config.meta["position"]: r.to_json_dict() for r in results}


def _columns(expectation: Any) -> list[str]:
    """Return the columns that an expectation is about."""
    values = [expectation.configuration.kwargs.get(key) for key in _COLUMN_KEYS]
    lists = [
        value if isinstance(value, list | tuple) else [value]
        for value in values
        if value
    ]
    return [str(column) for columns in lists for column in columns]


def _absent(expectation: Any, columns: list[str], frame: pd.DataFrame) -> Expectation:
    """Return the answer of an expectation about columns that are not there."""
    hint = did_you_mean(columns[0], map(str, frame.columns))
    message = f"{listed(f'`{_line(c)}`' for c in columns)} should be there; model.yaml has no such "
    return Expectation(
        name=expectation.expectation_type,
        column=columns[0],
        ok=False,
        message=message + (f"column ({hint})" if hint else "column."),
    )


def _told(spec: ModelSpec, expectation: Any, answer: Mapping[str, Any]) -> Expectation:
    """Return one result in words."""
    columns, condition = (
        _columns(expectation),
        getattr(expectation, "row_condition", None),
    )
    where = str(getattr(condition, "pass_through_filter", condition) or "")
    secret = any(name in columns or name in where for name in spec.sensitive)
    result: dict[str, Any] = answer.get("result") or {}
    rows, failed = result.get("element_count") or 0, result.get("unexpected_count") or 0
    offenders = [] if secret else result.get("partial_unexpected_list") or []
    message = _demand(expectation, columns, secret)
    message += f" where {_line(where)}" if where and not secret else ""
    message += f"; {_found(answer, secret)}."
    if why := (expectation.meta or {}).get("why"):
        message += f" Why: {_line(why)}."
    examples = dict.fromkeys(_shown(v) for v in offenders if v is not None)
    return Expectation(
        name=expectation.expectation_type,
        column=columns[0] if columns else None,
        ok=bool(answer.get("success")),  # may be numpy's
        message=message,
        failed_rows=failed if rows else None,
        failed_share=failed / rows if rows else None,
        examples=tuple(examples)[:3],
    )


def _demand(expectation: Any, columns: list[str], secret: bool) -> str:
    """Return what an expectation demands, as the first half of a sentence."""
    kwargs = expectation.configuration.kwargs
    limits = [
        f"{w} {_shown(kwargs[k])}"
        for w, k in _LIMITS.items()
        if kwargs.get(k) is not None
    ]
    subject, _, verb = expectation.expectation_type.removeprefix("expect_").partition(
        "_to_"
    )
    text = f"The {subject.removeprefix('column_').replace('_', ' ')} "
    text += (
        f"of {listed(f'`{_line(c)}`' for c in columns)} should "
        if columns
        else "should "
    )
    if verb in _VERBS:
        values = kwargs.get("value_set") or ()
        text += _VERBS[verb].format(
            value_set=f"{len(values)} known values" if secret else _shown(list(values)),
            range="in its range" if secret else " and ".join(limits) or "anything",
        )
    else:
        hidden = {*_COLUMN_KEYS, "row_condition", "condition_parser", "mostly"}
        told = [
            f"{k}: {_shown(v)}" for k, v in sorted(kwargs.items()) if k not in hidden
        ]
        text += verb.replace("_", " ") + (
            f" ({'; '.join(told)})" if told and not secret else ""
        )
    mostly = kwargs.get("mostly")
    if isinstance(mostly, int | float) and mostly < 1:
        text += f" in at least {mostly:.1%} of the rows"
    return text


def _found(answer: Mapping[str, Any], secret: bool) -> str:
    """Return what was found, as the second half of a sentence."""
    result, info = answer.get("result") or {}, answer.get("exception_info") or {}
    # Where a metric failed, what it raised is nested under the metric's name.
    nested = [i for i in (info, *info.values()) if isinstance(i, dict)]
    raised = [text for i in nested if (text := i.get("exception_message"))]
    if raised and not answer["success"]:
        return "it could not be computed" + ("" if secret else f": {_line(raised[0])}")
    rows, failed = result.get("element_count"), result.get("unexpected_count")
    if rows and failed:
        return f"{failed:,} of {rows:,} rows break it ({failed / rows:.2%})"
    if not secret and result.get("observed_value") is not None:
        return f"found {_shown(result['observed_value'])}"
    return "so it is" if answer.get("success") else "it is not"


def _shown(value: Any) -> str:
    """Return a value of data or contract as one short line."""
    if isinstance(value, dict):
        return ", ".join(f"{_line(k)}={_shown(v)}" for k, v in value.items())
    if isinstance(value, list | tuple):
        return listed(map(_shown, value))
    return f"{value:.6g}" if isinstance(value, float) else _line(value)


def _line(value: Any) -> str:
    return " ".join(str(value).split())[:80]


if __name__ == "__main__":
    gc.set_threshold(100_000)  # as in mlops.cli
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # who asked was interrupted too, and says so
    with quiet(), contextlib.redirect_stdout(sys.stderr):
        import great_expectations.expectations  # noqa: F401
        import pyarrow.parquet  # noqa: F401

        if asked := sys.stdin.buffer.read():  # nothing: the data could not be read
            answer = _answer(asked)
    if asked:
        print(json.dumps(answer), flush=True)
    os._exit(0)  # who asked waits: take nothing apart
