"""What is told of a rehearsal can be read in a terminal of 80 to 100 columns."""

from __future__ import annotations

import io

import pytest

from rehearsal.runner.joblog import JobLog
from rehearsal.stories.teller import WIDTH, StoryError, Teller, excerpt

COMMENT = """<!-- mlops: report -->
## ✅ churn: Replace the model in production (v1.0.0) with this one.

ROC AUC on the same 457 rows: 0.9 against 0.8, better by 0.1 (0.05 to 0.15).

### Against the model in production

Once more, in other words.

| Metric | This model | 95% interval | In production |
|---|---:|---:|---:|
| ✅ ROC AUC | 0.9 | 0.85 to 0.95 | 0.8 |
| ⚠️ Log loss &#40;lower is better&#41; | 0.5 | 0.4 to 0.6 | 0.45 |

| Condition | Result |
|---|---|
| ✅ checks | met |

[The run](http://127.0.0.1:1/acme/demo/actions/runs/9001)
"""


class Terminal(io.StringIO):
    """A file that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_of_a_comment_the_verdict_and_its_table_are_shown() -> None:
    assert excerpt(COMMENT) == [
        "✓ churn: Replace the model in production (v1.0.0) with this one.",
        "",
        "ROC AUC on the same 457 rows: 0.9 against 0.8, better by 0.1 (0.05 to 0.15).",
        "",
        "Metric                        This model  95% interval  In production",
        "✓ ROC AUC                            0.9  0.85 to 0.95            0.8",
        "! Log loss (lower is better)         0.5    0.4 to 0.6           0.45",
    ]


def test_a_table_that_is_too_wide_loses_columns_and_no_line_is_too_long() -> None:
    wide = COMMENT.replace("95% interval |", f"{'x' * 60} |", 1).replace(
        "457 rows", "r " * 60
    )
    lines = excerpt(wide)
    assert all(len(line) <= WIDTH - 5 for line in lines)
    assert "Metric                        This model  In production" in lines


def job(
    name: str, result: str = "success", failed: bool = False, **values: str
) -> JobLog:
    return JobLog(
        name, dict(values), "", result, 1.0, 3.5, failed=["step"] if failed else []
    )


def test_a_job_is_one_line_with_its_result_and_seconds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = io.StringIO()
    teller = Teller(out)
    plan, train = job("plan"), job("train", "failure", failed=True, model="a")
    innocent = job("train", "failure", model="b")
    for one in (plan, train, innocent):
        teller.job("release", one, False)
    for one in (plan, train, innocent):
        teller.job("release", one, True)
    assert [line.split() for line in out.getvalue().splitlines()] == [
        ["✓", "release", "plan", "2.5", "s"],
        ["✗", "release", "train", "(a)", "2.5", "s"],
        ["✓", "release", "train", "(b)", "2.5", "s"],
    ]
    assert "\x1b" not in out.getvalue() and "\r" not in out.getvalue()

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    terminal = Terminal()
    teller = Teller(terminal)
    teller.job("release", plan, False)
    teller.job("release", train, False)
    teller.job("release", plan, True)
    shown = terminal.getvalue()
    assert "… plan" in shown and shown.rstrip("\x1b[0m").endswith("… train (a)")
    assert "\x1b[32m✓" in shown


def test_a_story_that_goes_otherwise_stops() -> None:
    out = io.StringIO()
    teller = Teller(out)
    teller.chapter("First", "Words. " * 40)
    teller.check("it holds", True)
    with pytest.raises(StoryError, match="it was expected that it does not"):
        teller.check("it does not", False)
    teller.seconds()
    assert "1. First" in out.getvalue() and "✓ it holds" in out.getvalue()
    assert max(map(len, out.getvalue().splitlines())) <= WIDTH
