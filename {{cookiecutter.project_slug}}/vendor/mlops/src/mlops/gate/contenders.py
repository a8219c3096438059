"""Who is compared: the challenger and the versions that it is set beside."""

from __future__ import annotations

from dataclasses import dataclass

from mlops.evaluation.outcome import Outcome
from mlops.evaluation.slices import SliceRows
from mlops.results.evaluation import Evaluation
from mlops.results.verdict import NotComparable, UnitName


@dataclass(frozen=True, eq=False)
class Challenger:
    """The model that asks to go into production.

    Parameters
    ----------
    evaluation : Evaluation
        What the test step found.
    outcome : Outcome
        Its predictions beside what happened, on the test rows.
    unit : {"rows", "groups", "periods"}
        What stands for itself in the test part: `Outcome.unit` numbers them.
    slices : tuple of SliceRows
        The groups of rows in which quality must hold.
    """

    evaluation: Evaluation
    outcome: Outcome
    unit: UnitName = "rows"
    slices: tuple[SliceRows, ...] = ()


@dataclass(frozen=True, eq=False)
class Champion:
    """A version that the challenger is compared with on its own test rows.

    The one in production, or the anchor (see `gate.anchor`).

    Parameters
    ----------
    version : str
        Such as ``v1.2.0``.
    outcome : Outcome or NotComparable
        Its predictions of the same rows in the same order, or why there are none.
    rows_seen : int
        Test rows that it may have been trained on, because the split was another one
        then.
    needs_id : bool
        Whether the split depends on the columns, for want of `data.id`.
    """

    version: str
    outcome: Outcome | NotComparable
    rows_seen: int = 0
    needs_id: bool = False
