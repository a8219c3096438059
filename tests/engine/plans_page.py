"""The table of docs/explanation/plans.md, and the plans that its columns are."""

from __future__ import annotations

from typing import Any

from .conftest import ENGINE

PAGE = ENGINE.parent / "docs" / "explanation" / "plans.md"
PLANS: dict[str, dict[str, Any]] = {
    "public": {},
    "private, Free": {"private": True, "plan": "free"},
    "private, Pro or Team": {"private": True, "plan": "team"},
    "private, Enterprise Cloud": {"private": True, "plan": "enterprise"},
}


def table() -> dict[str, dict[str, str]]:
    """Return the cells of the page, by plan and the first words of a row."""
    lines = [line for line in PAGE.read_text("utf-8").splitlines() if line[:1] == "|"]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    plans = rows[0][1:]
    cells: dict[str, dict[str, str]] = {plan: {} for plan in plans}
    for name, *values in rows[2:]:
        for plan, value in zip(plans, values, strict=True):
            cells[plan][name] = value
    return cells


def cell(plan: str, start: str) -> str:
    """Return the one cell of a plan whose row begins so."""
    (value,) = (v for name, v in table()[plan].items() if name.startswith(start))
    return value
