"""The text of a pull request's one comment."""

from __future__ import annotations

from collections.abc import Sequence

from mlops.errors import MlopsError
from mlops.reporting.markdown import LIMIT, escape, markdown
from mlops.reporting.run_report import RunReport

# What may be wrong with results that do not fit together; they may be a stranger's.
_BROKEN = (
    ArithmeticError,
    AttributeError,
    LookupError,
    MlopsError,
    TypeError,
    ValueError,
)

_MOST_NAMES = 20  # of changed files

_NOT_ALL_LISTED = (
    "**It changes more files than GitHub lists:** there may be code that judges models"
    " among the others. Read the whole change."
)

_RESERVED = 10_000  # characters for what stands around the reports


def reports(runs: Sequence[RunReport]) -> tuple[list[str], list[str]]:
    """Return the text of each report, and the models whose results do not fit together.

    Each is folded below its conditions. Where all together are too long for a comment,
    only the verdicts are left.
    """
    texts = []
    broken = []
    for report in runs:
        try:
            texts.append(markdown(report, folded=True))
        except _BROKEN:
            broken.append(report.model)
    if sum(len(text) for text in texts) > LIMIT - _RESERVED:
        texts = [text.split("\n\n### ")[0] for text in texts]
    return texts, broken


def warning(judging: Sequence[str], all_listed: bool) -> str:
    """Return what stands first where a pull request changes code that judges models.

    Parameters
    ----------
    judging : sequence of str
        The files; their names may be a stranger's.
    all_listed : bool
        Whether GitHub listed every file that the pull request changes.
    """
    if not judging and all_listed:
        return ""
    lines = ["[!WARNING]"]
    if judging:
        lines += [
            "**This pull request changes code that judges models.** What is reported"
            " below may come from that change. A code owner must approve:",
            "",
        ]
        lines += [f"- {escape(name)}" for name in judging[:_MOST_NAMES]]
        more = len(judging) - _MOST_NAMES
        if more > 0:
            lines.append(f"- and {more:,} more")
    if not all_listed:
        lines += ["", _NOT_ALL_LISTED]
    return "\n".join(f"> {line}".rstrip() for line in lines)


def comment(
    texts: Sequence[str], notes: Sequence[str], run_url: str | None, above: str = ""
) -> str:
    """Return the comment: what is red, where the run is, the reports, what is missing.

    Parameters
    ----------
    texts : sequence of str
        Of `reports`.
    notes : sequence of str
        Plain sentences about what could not be shown.
    run_url : str, optional
        The page of the run; it comes first, because the whole report is there.
    above : str
        Markdown of our own that stands above everything.
    """
    parts = [above] if above else []
    if run_url:
        parts.append(f"[The run, with the whole report]({run_url})")
    parts += texts
    parts += [escape(note) for note in notes if note]
    return "\n\n".join(parts)[:LIMIT]
