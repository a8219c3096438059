"""What is printed: aligned, clean, coloured on a terminal only, quick."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wcwidth import wcswidth

from mlops.reporting import outcome, runs, terminal, words

from . import reporting_facts as known

CODES = re.compile(r"\x1b\[\d+m")


def on_a_terminal(monkeypatch: pytest.MonkeyPatch, columns: int = 80) -> None:
    """Make standard output look like a terminal of some width."""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)


def test_columns_are_aligned_and_numbers_stand_right() -> None:
    rows = [{"name": "a", "n": 5, "x": 0.5}, {"name": "longer", "n": 1234, "x": None}]
    assert terminal.table(rows, ["name", "n", "x"]).splitlines() == [
        "NAME       N      X",
        "a          5  0.500",
        "longer  1234      -",
    ]
    assert terminal.table([("a", "10.0"), ("b", "9.0")], ["k", "v"], "lr").endswith(
        "b   9.0"
    )


def test_wide_characters_keep_the_columns() -> None:
    lines = terminal.table(
        [("你好", "x"), ("ab", "y"), ("e\u0301", "z")], ["k", "v"]
    ).splitlines()
    places = {wcswidth(line[: re.search(r"[vxyzV]$", line).start()]) for line in lines}  # type: ignore[union-attr]
    assert places == {6}


@given(
    st.lists(
        st.tuples(st.text(max_size=20), st.text(max_size=20)), min_size=1, max_size=5
    )
)
def test_no_text_can_steer_the_terminal_or_add_a_line(
    rows: list[tuple[str, str]],
) -> None:
    text = terminal.table(rows, ["a", "b"])
    assert len(text.split("\n")) == len(rows) + 1
    assert len(text.splitlines()) == len(rows) + 1
    assert not re.search(
        r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", text
    )


def shown(text: str) -> list[str]:
    """Return the lines of a table without their colours."""
    return CODES.sub("", text).splitlines()


def test_the_table_fits_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    on_a_terminal(monkeypatch, 60)
    text = terminal.table([("v1.2.0", "x" * 200, "promote")], ["version", "why", "is"])
    lines = shown(text)
    assert max(map(len, lines)) <= 60
    assert "v1.2.0" in lines[1]
    assert sum(line.count("x") for line in lines) == 200, "wrapped, not cut"


RUN = {
    "run": "20261129-194507-a1b2c3",
    "model": "employment",
    "started": "2026-11-29 19:45",
    "outcome": "inconclusive",
    "roc_auc": "0.8301",
    "interval": "0.800 to 0.815",
    "why": "the new model is not better than the one in production by enough",
    "note": "a remark of many words that nobody needs to read at once",
}


@pytest.mark.parametrize("width", [20, 40, 60, 80, 100, 120, 200])
def test_ids_and_numbers_are_never_cut(
    width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_a_terminal(monkeypatch, width)
    text = CODES.sub("", terminal.table([RUN, RUN], list(RUN)))
    for name in ("run", "model", "started", "outcome", "roc_auc", "interval"):
        assert text.count(RUN[name]) == 2, name
    assert "…" not in text
    if width >= 60:
        assert max(map(len, text.splitlines())) <= max(width, 100)
    note = next((x for x in text.splitlines() if x.startswith("not shown")), "")
    for name in ("why", "note"):
        whole = all(word in text for word in RUN[name].split())
        assert whole != (name in note), name


def test_columns_that_do_not_fit_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    on_a_terminal(monkeypatch, 80)
    row = {key: RUN[key] for key in ("run", "started", "outcome", "interval", "note")}
    lines = shown(terminal.table([row], list(row)))
    assert lines[-1] == "not shown at this width: note (--json has everything)"
    assert max(map(len, lines)) <= 80


def test_a_terminal_that_is_too_narrow_gets_a_list(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    on_a_terminal(monkeypatch, 30)
    lines = shown(terminal.table([RUN], ["run", "started"]))
    assert lines == [
        "RUN      20261129-194507-a1b2c3",
        "STARTED  2026-11-29 19:45",
    ]


def test_what_is_piped_is_whole_and_without_colour() -> None:
    text = terminal.table([("promote", "x" * 300)], ["is", "why"])
    assert "x" * 300 in text
    assert "\x1b" not in text
    assert "\x1b" not in outcome.outcome_text(known.everything(), "quality", "tests")


def test_colour_is_for_terminals_that_want_it(monkeypatch: pytest.MonkeyPatch) -> None:
    on_a_terminal(monkeypatch)
    assert terminal.paint("no", "bad") == "\x1b[31mno\x1b[0m"
    assert "\x1b[32mpromote" in terminal.table([("promote",)], ["is"])
    monkeypatch.setenv("NO_COLOR", "1")
    assert terminal.paint("no", "bad") == "no"
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "dumb")
    assert terminal.paint("no", "bad") == "no"


def test_an_outcome_is_the_answer_and_its_tables() -> None:
    text = outcome.outcome_text(
        known.everything(decision="reject"), "quality", "slices"
    )
    lines = text.splitlines()
    assert lines[0] == "Do not replace the model in production (v1.2.0)."
    assert "worse by 0.022" in lines[1]
    assert "-0.022" in text
    assert "marital_status = Widowed" in text
    assert "ASKED OF" not in text
    broken = outcome.outcome_text(
        known.everything(validation=known.validation(ok=False)), "data"
    )
    assert "312 (2.1%)" in broken
    assert "SECRET" not in broken


def test_prose_has_a_hundred_columns_and_cost_one_line() -> None:
    facts = known.everything(decision="inconclusive")
    lines = outcome.outcome_text(facts, "cost").splitlines()
    assert max(map(len, lines)) <= 100
    assert " ".join(lines[1:4]).startswith("ROC AUC on the same 3,745 rows")
    assert lines[-2:] == ["", "It took 12 s, under 0.01 USD, about 0.066 Wh."]
    assert not any("STEP" in line for line in lines)


def test_pairs_leave_out_what_is_not_known() -> None:
    assert terminal.pairs({"version": "v1", "actor": None, "at": "now"}) == (
        "version  v1\nat       now"
    )


def test_runs_side_by_side_show_what_differs() -> None:
    records = {
        "r1": {"seed": 0, "depth": 3, "auc": 0.81},
        "r2": {"seed": 0, "depth": 6, "auc": 0.84},
    }
    lines = runs.side_by_side(records).splitlines()
    assert lines[0].split() == ["r1", "r2"]
    assert [line.split() for line in lines[1:]] == [
        ["depth", "3", "6"],
        ["auc", "0.810", "0.840"],
    ]
    assert (
        runs.side_by_side({"r1": {"a": 1}, "r2": {"a": 1}})
        == "These runs do not differ."
    )


def test_ten_thousand_rows_are_quick() -> None:
    rows = [
        {
            "model": "employment",
            "version": f"v1.{i}.0",
            "stage": "production",
            "at": "2026-11-02",
        }
        for i in range(10_000)
    ]
    started = time.process_time()
    terminal.table(rows, ["model", "version", "stage", "at"])
    assert time.process_time() - started < 2


def test_nothing_heavy_is_imported_for_a_table() -> None:
    code = (
        "import sys; from mlops.reporting.terminal import table; table([(1,)], ['a']); "
        "heavy = ('pydantic', 'numpy', 'pandas', 'matplotlib', 'rich', 'jinja2'); "
        "print([m for m in heavy if m in sys.modules])"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, env=environment
    )
    assert done.stdout.decode().strip() == "[]", done.stderr.decode()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.86041, "0.860"),
        (-0.0123, words.MINUS + "0.012"),
        (0.00012, "0.0001"),
        (12.345, "12.35"),
        (1843.2, "1,843"),
        (80.0, "80"),
        (0.0, "0.000"),
        (-0.0, "0.000"),
        (None, words.NONE),
        (float("nan"), words.NONE),
    ],
)
def test_numbers_have_the_digits_that_a_reader_uses(
    value: float | None, text: str
) -> None:
    assert words.number(value) == text


@given(st.floats(-1e12, 1e12))
def test_a_rounded_number_is_near_the_number(value: float) -> None:
    read = float(words.number(value).replace(",", "").replace(words.MINUS, "-"))
    assert read == pytest.approx(
        value, rel=0.5 if abs(value) < 0.0005 else 0.01, abs=0.0006
    )
    assert words.signed(value).startswith("+") == (value > 0)


@given(st.floats(0, 1))
def test_only_all_and_nothing_are_called_so(value: float) -> None:
    assert (words.share(value) == "0%") == (value == 0)
    assert (words.share(value) == "100%") == (value == 1)


@given(st.text())
def test_clean_text_is_one_printable_line(text: str) -> None:
    line = words.clean(text, 50)
    assert len(line) <= 50
    assert line.isprintable()
    assert line == " ".join(line.split())
    assert words.clean(line, 50) == line


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.42, "0.4 s"), (42.4, "42 s"), (185, "3 min 5 s"), (3600, "60 min 0 s")],
)
def test_time_spans_are_short(seconds: float, text: str) -> None:
    assert words.duration(seconds) == text


def test_less_than_a_cent_is_not_nothing() -> None:
    assert words.money(0.0004, "USD") == "under 0.01 USD"
    assert words.money(0, "USD") == "0.00 USD"
    assert words.money(1234.5, "EUR") == "1,234.50 EUR"
