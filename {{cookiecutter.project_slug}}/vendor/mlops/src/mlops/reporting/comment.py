"""The text of a pull request's one comment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from mlops.errors import MlopsError
from mlops.reporting import words
from mlops.reporting.blocks import Tone
from mlops.reporting.markdown import LIMIT, MARKS, escape, markdown
from mlops.reporting.run_report import RunReport
from mlops.reporting.summary import summary

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

_MOST_CHARACTERS = 12_000  # of the names of models that end the same way

_NOT_ALL_LISTED = (
    "**It changes more files than GitHub lists:** there may be code that judges models"
    " among the others. Read the whole change."
)

_RESERVED = 10_000  # characters for what stands around the reports

MOST = LIMIT - _RESERVED  # characters of all reports

_MOST_NOTES = 20

# What a reader has to see first: what is refused, then what changes.
_ORDER: Sequence[Tone] = ("bad", "unsure", "good")

_COUNTED = {
    "bad": "not to be used",
    "unsure": "not decided, or to be looked at",
    "good": "good",
}


class _Text(NamedTuple):
    """The report of one model: how it ended, all of it, and the verdict alone."""

    model: str
    tone: Tone
    whole: str
    verdict: str


def reports(runs: Sequence[RunReport], most: int = MOST) -> tuple[list[str], list[str]]:
    """Return the text of each report, and the models whose results do not fit together.

    Each is folded below its conditions. What is refused comes first, then what is
    undecided, then what is good. Where all together are longer than `most` characters,
    only the verdicts are left; where these are too long, the last ones are counted by
    name, so that no model is left out.
    """
    texts = []
    broken = []
    for report in runs:
        try:
            whole = markdown(report, folded=True)
            tone = summary(report).tone
        except _BROKEN:
            broken.append(report.model)
            continue
        verdict = whole.split("\n\n### ")[0]
        texts.append(_Text(report.model, tone, whole, verdict))
    texts.sort(key=lambda text: (_ORDER.index(text.tone), text.model))
    if sum(len(text.whole) for text in texts) <= most:
        return [text.whole for text in texts], broken
    return _verdicts(texts, most), broken


def _verdicts(texts: Sequence[_Text], most: int) -> list[str]:
    """Return as many verdicts as there is space for, and the rest by name."""
    shown = len(texts)
    while shown:
        parts = [text.verdict for text in texts[:shown]] + _by_name(texts[shown:])
        if sum(len(part) + 2 for part in parts) <= most:
            return parts
        shown -= 1
    return _by_name(texts)


def _by_name(texts: Sequence[_Text]) -> list[str]:
    """Return a line for each way to end, with the number and names of the models."""
    lines = []
    for tone in _ORDER:
        names = [text.model for text in texts if text.tone == tone]
        if names:
            number = words.count(len(names), "more model")
            listing = _as_many(names, _MOST_CHARACTERS)
            lines.append(f"{MARKS[tone]}**{number} {_COUNTED[tone]}:** {listing}")
    return lines


def _as_many(names: Sequence[str], most: int) -> str:
    """Return as many names as there is space for, the rest counted."""
    shown: list[str] = []
    length = 0
    for name in names:
        part = escape(name)
        length += len(part) + 2
        if length > most:
            break
        shown.append(part)
    rest = len(names) - len(shown)
    return ", ".join(shown) + (f" and {rest:,} more" if rest else "")


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
    written = [note for note in notes if note]
    parts += [escape(note) for note in written[:_MOST_NOTES]]
    if len(written) > _MOST_NOTES:
        parts.append(f"And {words.count(len(written) - _MOST_NOTES, 'more note')}.")
    return "\n\n".join(parts)[:LIMIT]
