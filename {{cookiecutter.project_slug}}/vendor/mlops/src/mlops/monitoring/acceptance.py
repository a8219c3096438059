"""A new normal: a checked period that people took as the reference."""

from __future__ import annotations

from collections.abc import Sequence

from mlops.io.digests import canonical_json, sha256
from mlops.results.baseline import Baseline, ColumnBaseline
from mlops.results.monitoring import Acceptance, AcceptedColumn


def newest(acceptances: Sequence[Acceptance], version: str) -> Acceptance | None:
    """Return the acceptance that holds for a version; None where there is none.

    Parameters
    ----------
    acceptances : sequence of Acceptance
        Oldest first.
    """
    own = [one for one in acceptances if one.version == version]
    return own[-1] if own else None


def digest_of(acceptance: Acceptance) -> str:
    """Return what the state of a detector calls this reference."""
    content = canonical_json(acceptance.model_dump(mode="json"))
    return f"accepted-{sha256(content)[:16]}"


def with_reference(baseline: Baseline, acceptance: Acceptance) -> Baseline:
    """Return a baseline with the counts and moments of an accepted period.

    The cells stay, as they rest on training rows, and so do the losses: an acceptance
    says nothing of the performance. A column that the acceptance does not have, or has
    in other cells, keeps its reference.
    """
    accepted = {column.name: column for column in acceptance.columns}
    columns = []
    for column in baseline.columns:
        new = accepted.get(column.cells.name)
        if new is None or len(new.counts) != column.cells.size:
            columns.append(column)
        else:
            columns.append(_replaced(column, new))
    return baseline.model_copy(update={"columns": tuple(columns)})


def _replaced(column: ColumnBaseline, new: AcceptedColumn) -> ColumnBaseline:
    """Return a column with another reference; it is counted as the check counted."""
    update = {
        "reference": new.counts,
        "reference_units": new.counts if column.reference_units else (),
        "mean": new.mean,
        "deviation": new.deviation,
    }
    return column.model_copy(update=update)
