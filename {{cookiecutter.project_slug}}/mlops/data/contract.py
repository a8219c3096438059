"""The data contract: the expectations of `contract.py`, asked by Great Expectations in one pass.

Great Expectations computes; the words are ours, from the plain values of its results, so that
what a person reads is one sentence and no value of a sensitive column is in it.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops.errors import Problem, UsageError, did_you_mean, listed
from mlops.files import cannot
from mlops.results import Expectation
from mlops.spec import ModelSpec
from mlops.usercode import blaming, load_function

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
    "be_unique": "be unique",
}
_COLUMN_KEYS = ("column", "column_A", "column_B", "column_list")
_EXAMPLES = 3


def check(spec: ModelSpec, contract_file: Path, frame: pd.DataFrame) -> tuple[Expectation, ...]:
    """Ask every expectation of a contract of some rows.

    Parameters
    ----------
    spec : ModelSpec
        Says which columns are sensitive: of those, no value is ever in a result.
    contract_file : Path
        `models/NAME/contract.py`, with ``def expectations(gxe) -> list``, where `gxe` is the module
        `great_expectations.expectations`.
    frame : DataFrame, shape (n_rows, n_columns)
        The rows of a `Dataset`. Time and memory are linear in `n_rows`.

    Returns
    -------
    tuple of Expectation
        In the order of the contract. One that raises is a failed one.

    Raises
    ------
    UsageError
        When the file is missing, is not Python or does not return expectations.
    """
    with _quiet():
        asked = _load(contract_file)
        results = {i: _without_column(e, frame) for i, e in enumerate(asked)}
        possible = {i: asked[i] for i, answer in results.items() if answer is None}
        for position, answer in _ask(possible, frame):
            results[position] = _told(spec, asked[position], answer)
    # One that was not answered has failed.
    return tuple(e or _told(spec, asked[i], {"success": False}) for i, e in results.items())


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Great Expectations from logging, warning, counting aloud or sending anything home."""
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    logger = logging.getLogger("great_expectations")
    before = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(before)


def _load(path: Path) -> list[Any]:
    """Return the expectations of a contract file."""
    shown = "/".join(path.parts[-3:])
    try:
        source = path.read_bytes()
    except FileNotFoundError as error:
        do = "write it: def expectations(gxe): return [...]"
        raise UsageError(Problem("there is no data contract", shown, do=do)) from error
    except OSError as error:
        raise cannot("read", path, error) from error
    function = load_function(source, shown, "expectations")
    import great_expectations.expectations as gxe
    from great_expectations.expectations.expectation import Expectation as Base

    with blaming(shown):
        asked = function(gxe)
    wrong = [i for i in asked if not isinstance(i, Base)] if isinstance(asked, list) else [asked]
    if wrong:
        raise UsageError(
            Problem(
                "expectations(gxe) must return a list of expectations",
                shown,
                found=_line(repr(wrong[0])),
                allowed="[gxe.ExpectColumnValuesToNotBeNull(column=...), ...]",
            )
        )
    return list(asked)


def _kwargs(expectation: Any) -> dict[str, Any]:
    kwargs = dict(expectation.configuration.kwargs)
    return {k: v for k, v in kwargs.items() if k not in ("row_condition", "condition_parser")}


def _condition(expectation: Any) -> str:
    condition = getattr(expectation, "row_condition", None)
    return str(getattr(condition, "pass_through_filter", condition) or "")


def _columns(kwargs: Mapping[str, Any]) -> list[str]:
    """Return the columns that an expectation is about."""
    out: list[str] = []
    for key in _COLUMN_KEYS:
        value = kwargs.get(key)
        out += value if isinstance(value, list | tuple) else [value] if value is not None else []
    return [str(column) for column in out]


def _ask(asked: Mapping[int, Any], frame: pd.DataFrame) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield position and plain result of each expectation, in any order.

    The engine is given the frame itself: through a data source, Great Expectations would hash every
    value of it twice, which takes longer than all questions together.
    """
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig
    from great_expectations.execution_engine import PandasExecutionEngine
    from great_expectations.validator.validator import Validator

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    validator = Validator(
        execution_engine=PandasExecutionEngine(batch_data_dict={"rows": frame}),
        interactive_evaluation=False,
        data_context=context,
    )
    configurations = []
    for position, expectation in asked.items():
        configuration = expectation.configuration
        configuration.meta = {"position": position}
        configurations.append(configuration)
    # Some of the first offenders only; complete lists of them would not fit into memory.
    result_format = {"result_format": "BASIC", "partial_unexpected_count": 20}
    for result in validator.graph_validate(configurations, {"result_format": result_format}):
        yield result.expectation_config.meta["position"], result.to_json_dict()


def _without_column(expectation: Any, frame: pd.DataFrame) -> Expectation | None:
    """Return the answer of an expectation whose column is not there; None where it is."""
    absent = [c for c in _columns(_kwargs(expectation)) if c not in frame.columns]
    if not absent:
        return None
    hint = did_you_mean(absent[0], map(str, frame.columns))
    message = f"{listed(f'`{_line(c)}`' for c in absent)} should be there; model.yaml has no such "
    return Expectation(
        name=expectation.expectation_type,
        column=absent[0],
        ok=False,
        message=message + (f"column ({hint})" if hint else "column."),
        examples=(),
    )


def _told(spec: ModelSpec, expectation: Any, answer: Mapping[str, Any]) -> Expectation:
    """Return one result in words."""
    kind, kwargs = expectation.expectation_type, _kwargs(expectation)
    columns, condition = _columns(kwargs), _condition(expectation)
    secret = any(name in columns or name in condition for name in spec.sensitive)
    result: dict[str, Any] = answer.get("result") or {}
    rows, failed = result.get("element_count") or 0, result.get("unexpected_count") or 0
    offenders = [] if secret else result.get("partial_unexpected_list") or []
    where = "" if secret or not condition else f" where {_line(condition)}"
    sentence = f"{_demand(kind, kwargs, secret)}{where}; {_found(answer, secret)}."
    why = (expectation.meta or {}).get("why")
    return Expectation(
        name=kind,
        column=columns[0] if columns else None,
        ok=bool(answer["success"]),  # may be numpy's
        message=sentence + (f" Why: {_line(why)}." if why else ""),
        failed_rows=failed if rows else None,
        failed_share=failed / rows if rows else None,
        examples=tuple(dict.fromkeys(_shown(v) for v in offenders if v is not None))[:_EXAMPLES],
    )


def _found(answer: Mapping[str, Any], secret: bool) -> str:
    """Return what was found, as the second half of a sentence."""
    result: dict[str, Any] = answer.get("result") or {}
    info = answer.get("exception_info") or {}
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
    return "so it is" if answer["success"] else "it is not"


def _demand(kind: str, kwargs: Mapping[str, Any], secret: bool) -> str:
    """Return what an expectation demands, as the first half of a sentence."""
    columns = listed(f"`{_line(c)}`" for c in _columns(kwargs))
    subject, _, verb = kind.removeprefix("expect_").partition("_to_")
    what = subject.removeprefix("column_").replace("_", " ")
    text = f"The {what} of {columns} should " if columns else f"The {what} should "
    if verb in _VERBS:
        values = kwargs.get("value_set") or ()
        shown = f"{len(values)} known values" if secret else _shown(list(values))
        text += _VERBS[verb].format(value_set=shown, range=_range(kwargs, secret))
    else:
        told = [f"{k}: {_shown(v)}" for k, v in sorted(kwargs.items()) if k not in _COLUMN_KEYS]
        text += verb.replace("_", " ") + (f" ({'; '.join(told)})" if told and not secret else "")
    mostly = kwargs.get("mostly")
    if isinstance(mostly, int | float) and mostly < 1:
        text += f" in at least {mostly:.1%} of the rows"
    return text


def _range(kwargs: Mapping[str, Any], secret: bool) -> str:
    if secret:
        return "in its range"
    limits = {"at least": "min_value", "at most": "max_value", "in": "quantile_ranges"}
    told = [f"{w} {_shown(kwargs[k])}" for w, k in limits.items() if kwargs.get(k) is not None]
    return " and ".join(told) or "anything"


def _shown(value: Any) -> str:
    """Return a value of data or contract as one short line."""
    if isinstance(value, dict):
        return ", ".join(f"{_line(k)}={_shown(v)}" for k, v in value.items())
    if isinstance(value, list | tuple):
        return listed(map(_shown, value))
    return f"{value:.6g}" if isinstance(value, float) else _line(value)


def _line(value: Any) -> str:
    return " ".join(str(value).split())[:80]
