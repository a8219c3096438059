"""The results of Great Expectations as sentences, without values that are sensitive."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from mlops.errors import did_you_mean, listed
from mlops.results.data import Expectation

# What comes after "should" for the endings of Great Expectations' names that people
# meet most; any other is described by its own words and parameters.
_DEMANDS = {
    "be_between": "be {range}",
    "be_in_set": "be among {value_set}",
    "not_be_in_set": "not be among {value_set}",
    "be_null": "be missing",
    "not_be_null": "not be missing",
}

_LIMITS = {"at least": "min_value", "at most": "max_value", "in": "quantile_ranges"}

_COLUMN_KEYS = ("column", "column_A", "column_B", "column_list")

# Parameters that say where or how often, not what.
_NOT_A_DEMAND = {*_COLUMN_KEYS, "row_condition", "condition_parser", "mostly"}

_MOST_EXAMPLES = 3


def columns_of(expectation: Any) -> list[str]:
    """Return the columns that an expectation is about."""
    columns: list[str] = []
    for key in _COLUMN_KEYS:
        value = getattr(expectation, key, None)
        if isinstance(value, list | tuple):
            columns += map(str, value)
        elif value:
            columns.append(str(value))
    return columns


def absent_column(
    expectation: Any, missing: list[str], columns: list[str]
) -> Expectation:
    """Return the failure of an expectation about columns that nobody declared."""
    message = f"{_quoted(missing)} should be there; model.yaml has no such column"
    hint = did_you_mean(missing[0], columns)
    message += f" ({hint})" if hint else "."
    return Expectation(
        name=expectation.expectation_type,
        column=missing[0],
        ok=False,
        message=message,
    )


def answered(
    expectation: Any, raw: Mapping[str, Any], sensitive: Collection[str]
) -> Expectation:
    """Return the result of one expectation.

    Parameters
    ----------
    expectation : great_expectations.expectations.Expectation
    raw : mapping
        `to_json_dict()` of its result; empty where there is none.
    sensitive : collection of str
        Columns of which no value is shown.
    """
    columns = columns_of(expectation)
    condition = getattr(expectation, "row_condition", None)
    where = str(getattr(condition, "pass_through_filter", condition) or "")
    secret = any(name in columns or name in where for name in sensitive)
    result: dict[str, Any] = raw.get("result") or {}
    rows = result.get("element_count") or 0
    failed = result.get("unexpected_count") or 0
    offenders = [] if secret else result.get("partial_unexpected_list") or []

    message = _demand(expectation, columns, secret)
    if where and not secret:
        message += f" where {one_line(where)}"
    message += f"; {_observed(raw, secret)}."
    why = (expectation.meta or {}).get("why")
    if why:
        message += f" Why: {one_line(why)}."
    examples = dict.fromkeys(_shown(v) for v in offenders if v is not None)
    return Expectation(
        name=expectation.expectation_type,
        column=columns[0] if columns else None,
        ok=bool(raw.get("success")),  # may be numpy's
        message=message,
        failed_rows=failed if rows else None,
        failed_share=failed / rows if rows else None,
        examples=tuple(examples)[:_MOST_EXAMPLES],
    )


def _demand(expectation: Any, columns: list[str], secret: bool) -> str:
    """Return what an expectation demands, as the first half of a sentence."""
    kwargs = expectation.configuration.kwargs
    name = expectation.expectation_type.removeprefix("expect_")
    subject, _, ending = name.partition("_to_")
    text = f"The {subject.removeprefix('column_').replace('_', ' ')} "
    if columns:
        text += f"of {_quoted(columns)} "
    text += "should "
    if ending in _DEMANDS:
        text += _common_demand(ending, kwargs, secret)
    else:
        text += ending.replace("_", " ")
        parameters = []
        for key, value in sorted(kwargs.items()):
            if key not in _NOT_A_DEMAND:
                parameters.append(f"{key}: {_shown(value)}")
        if parameters and not secret:
            text += f" ({'; '.join(parameters)})"
    mostly = kwargs.get("mostly")
    if isinstance(mostly, int | float) and mostly < 1:
        text += f" in at least {mostly:.1%} of the rows"
    return text


def _common_demand(ending: str, kwargs: Mapping[str, Any], secret: bool) -> str:
    """Return the demand of an expectation that people meet often."""
    values = kwargs.get("value_set") or ()
    if secret:
        return _DEMANDS[ending].format(
            value_set=f"{len(values)} known values", range="in its range"
        )
    limits = []
    for words, key in _LIMITS.items():
        if kwargs.get(key) is not None:
            limits.append(f"{words} {_shown(kwargs[key])}")
    return _DEMANDS[ending].format(
        value_set=_shown(list(values)), range=" and ".join(limits) or "anything"
    )


def _observed(raw: Mapping[str, Any], secret: bool) -> str:
    """Return what was found, as the second half of a sentence."""
    result = raw.get("result") or {}
    success = raw.get("success")
    raised = _raised(raw.get("exception_info") or {})
    if raised and not success:
        reason = "" if secret else f": {one_line(raised)}"
        return f"it could not be computed{reason}"
    rows = result.get("element_count")
    failed = result.get("unexpected_count")
    if rows and failed:
        return f"{failed:,} of {rows:,} rows break it ({failed / rows:.2%})"
    if not secret and result.get("observed_value") is not None:
        return f"found {_shown(result['observed_value'])}"
    return "so it is" if success else "it is not"


def _raised(info: Mapping[str, Any]) -> str:
    """Return what an expectation raised: at the top, or below the name of a metric."""
    for item in (info, *info.values()):
        if isinstance(item, Mapping) and item.get("exception_message"):
            return str(item["exception_message"])
    return ""


def _quoted(columns: list[str]) -> str:
    return listed(f"`{one_line(column)}`" for column in columns)


def _shown(value: Any) -> str:
    """Return a value of data or contract as one short line."""
    if isinstance(value, dict):
        return ", ".join(f"{one_line(k)}={_shown(v)}" for k, v in value.items())
    if isinstance(value, list | tuple):
        return listed(map(_shown, value))
    if isinstance(value, float):
        return f"{value:.6g}"
    return one_line(value)


def one_line(value: Any) -> str:
    """Return a value as text of one line and at most 80 characters."""
    return " ".join(str(value).split())[:80]
