"""The model card: metadata that the Hugging Face hub reads, what a card must say."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import yaml
from huggingface_hub import ModelCard, ModelCardData
from markdown_it import MarkdownIt

from mlops.reporting.calibration import tenths
from mlops.reporting.card import card
from mlops.reporting.run_report import PredictedRows

from . import reporting_facts as known

PARSER = MarkdownIt("commonmark", {"html": True}).enable("table")


def split(text: str) -> tuple[dict[str, Any], str]:
    """Return metadata and body, as the hub's own reader splits them."""
    match = re.match(r"\A---[\n\r]+([\S\s]*?)[\n\r]+---([\n\r]|\Z)", text)
    assert match
    return yaml.safe_load(match[1]), text[match.end() :]


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_metadata_say_library_task_and_metrics(task: str) -> None:
    data, _ = split(card(known.everything(task), {"Version": "v1.3.0"}))
    kind = "tabular-regression" if task == "regression" else "tabular-classification"
    assert data["library_name"] == "sklearn"
    assert data["pipeline_tag"] == kind
    assert {"sklearn", "skops", "tabular"} <= set(data["tags"])
    (index,) = data["model-index"]
    (result,) = index["results"]
    assert index["name"] == "employment"
    assert result["task"]["type"] == kind
    assert result["dataset"] == {"name": "data/2015.csv", "type": "tabular"}
    measured = {m["type"]: m["value"] for m in result["metrics"]}
    assert measured == {m.name: pytest.approx(m.value) for m in known.MEASURED[task]}
    assert data["metrics"] == list(measured)


def test_the_card_says_what_an_approver_asks() -> None:
    _, body = split(card(known.everything(), {"Version": "v1.3.0", "Manifest": "ab12"}))
    for text in (
        "| Version | v1.3.0 |",
        "| Manifest | ab12 |",
        "## Intended use\n\nPlanning of regional job centres",
        "## Risk: limited\n\nAggregates steer money, no person is judged.",
        "- Not for decisions about one person.",
        "- It is clearly worse than on average for: marital_status = Widowed.",
        "- Too few rows to say how good it is for: marital_status = Separated.",
        "- Accuracy differs by disability, accepted: Follows the labels",
        "- It has seen data of 2015-01-01 to 2015-12-31 only.",
        "0.849 to 0.872",
        "| Period | 2015-01-01 to 2015-12-31 |",
        "| Data | data/2015.csv, 2015-01-01 to 2015-12-31 |",
        f"| Digest of the data | {'9f2c' * 16} |",
        "| Parameters | max&#95;depth = 6, seed = 0 |".replace("&#95;", "_"),
        "| Test part | 25% of the rows, split by random |",
        "| Verdict | promote: Replace the model in production (v1.2.0) with this "
        "one. |",
        "## Calibration",
        "## Slices",
        "## Fairness",
        "mlops run employment --force",
    ):
        assert text in body
    assert (
        body.index("## Intended use") < body.index("## Limits") < body.index("ROC AUC")
    )
    assert "SECRET" not in body


def test_several_groups_are_told_apart() -> None:
    tests = known.evaluation()
    few = [
        s.model_copy(update={"metric": None, "value": v})
        for s in tests.slices[:1]
        for v in "ab"
    ]
    facts = known.everything(evaluation=tests.model_copy(update={"slices": tuple(few)}))
    assert "good it is for: schooling = a, schooling = b." in split(card(facts, {}))[1]


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_the_hub_reads_the_metadata(task: str) -> None:
    """By the library of the hub's own tools, which knows what a model index holds."""
    read = ModelCard(card(known.everything(task), {}), ignore_metadata_errors=False)
    assert read.data.library_name == "sklearn" and read.data.model_name == "employment"
    results = read.data.eval_results
    assert [r.metric_type for r in results] == [m.name for m in known.MEASURED[task]]
    assert {(r.task_type, r.dataset_type) for r in results} == {
        (read.data.pipeline_tag, "tabular")
    }
    again = yaml.safe_load(ModelCardData(**read.data.to_dict()).to_yaml())
    assert again["model-index"][0]["results"][0]["metrics"][0][
        "value"
    ] == pytest.approx(results[0].metric_value)
    assert read.text.lstrip().startswith("# employment")


def test_calibration_is_a_plot_of_plain_text() -> None:
    _, body = split(card(known.everything(), {}))
    (fence,) = (t for t in PARSER.parse(body) if t.type == "fence" and t.info == "text")
    head, *lines = fence.content.split("\n\n")[0].splitlines()
    assert fence.content.isascii() and len(lines) == 10 and max(map(len, lines)) < 90
    zero = head.index("0%")
    for line in lines:
        predicted, happened, rows = line[:zero].split()
        assert rows in ("374", "375")
        place = line.index("o") - zero
        assert abs(place / 49 - float(happened.strip("<>%")) / 100) < 0.02
        gap = float(predicted.strip("<>%")) - float(happened.strip("<>%"))
        assert "|" in line or abs(gap) < 100 / 49
    order = [line.index("o") for line in lines]
    assert order[0] < order[4] < order[-1]


def test_a_model_that_promises_too_much_is_seen() -> None:
    rng = np.random.default_rng(0)
    chance = rng.random(4000)
    actual = np.where(rng.random(4000) < chance, "yes", "no")
    honest, bold = (
        PredictedRows(actual, actual, score) for score in (chance, chance**0.2)
    )
    good, bad = (tenths(known.everything(rows=rows)) for rows in (honest, bold))
    assert sum(t.low <= t.predicted <= t.high for t in good) >= 8
    assert not any(t.low <= t.predicted <= t.high for t in bad)
    assert sum(t.rows for t in good) == 4000


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
@pytest.mark.parametrize("n", [0, 1, 2, 13])
def test_few_rows_are_as_many_parts(task: str, n: int) -> None:
    facts = known.everything(task, n=n)
    assert len(tenths(facts)) == min(n, 10)
    assert ("## Calibration" in card(facts, {})) == (n > 0)


def test_a_card_without_results_is_a_card() -> None:
    gone: dict[str, Any] = dict.fromkeys(
        ("training", "evaluation", "verdict", "validation", "rows")
    )
    data, body = split(card(known.everything(**gone), {}))
    assert "model-index" not in data
    assert "## Intended use" in body


def test_figures_that_are_none_stay_out_of_the_metadata() -> None:
    tests = known.evaluation()
    broken = tests.primary.model_copy(update={"value": float("nan")})
    tests = tests.model_copy(update={"metrics": (broken, *tests.metrics[1:])})
    data, _ = split(card(known.everything(evaluation=tests), {}))
    assert "roc_auc" not in data["metrics"]


def test_text_is_escaped_once() -> None:
    tests = known.evaluation()
    weak = [
        s.model_copy(update={"value": "*a*"}) if not s.ok else s for s in tests.slices
    ]
    facts = known.everything(
        evaluation=tests.model_copy(update={"slices": tuple(weak)})
    )
    line = "- It is clearly worse than on average for: marital_status = &#42;a&#42;."
    assert line in card(facts, {})


def test_hostile_text_breaks_neither_metadata_nor_markdown() -> None:
    attack = " ".join(known.HOSTILE) + "\n---\nlibrary_name: evil"
    data, body = split(card(known.hostile(), {attack: attack}))
    assert data["library_name"] == "sklearn"
    tokens = [c for t in PARSER.parse(body) for c in (t, *(t.children or []))]
    raw = {
        re.sub(r">[^<]+<", "><", t.content.strip()) for t in tokens if "html" in t.type
    }
    assert raw <= {"<details><summary></summary>", "</details>"}
    assert not {"link_open", "image", "code_inline"} & {t.type for t in tokens}
