"""The model card: metadata that the Hugging Face hub reads, and what a card must say."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml
from markdown_it import MarkdownIt

from mlops.reporting.render import card

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
        "## Slices",
        "## Fairness",
        "mlops run employment --force",
    ):
        assert text in body
    assert body.index("## Intended use") < body.index("## Limits") < body.index("ROC AUC")
    assert "SECRET" not in body


def test_several_groups_are_told_apart() -> None:
    tests = known.evaluation()
    few = [
        s.model_copy(update={"metric": None, "value": v}) for s in tests.slices[:1] for v in "ab"
    ]
    facts = known.everything(evaluation=tests.model_copy(update={"slices": tuple(few)}))
    assert "good it is for: schooling = a, schooling = b." in split(card(facts, {}))[1]


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
    weak = [s.model_copy(update={"value": "*a*"}) if not s.ok else s for s in tests.slices]
    facts = known.everything(evaluation=tests.model_copy(update={"slices": tuple(weak)}))
    line = "- It is clearly worse than on average for: marital_status = &#42;a&#42;."
    assert line in card(facts, {})


def test_hostile_text_breaks_neither_metadata_nor_markdown() -> None:
    attack = " ".join(known.HOSTILE) + "\n---\nlibrary_name: evil"
    data, body = split(card(known.hostile(), {attack: attack}))
    assert data["library_name"] == "sklearn"
    tokens = [c for t in PARSER.parse(body) for c in (t, *(t.children or []))]
    raw = {re.sub(r">[^<]+<", "><", t.content.strip()) for t in tokens if "html" in t.type}
    assert raw <= {"<details><summary></summary>", "</details>"}
    assert not {"link_open", "image", "code_inline"} & {t.type for t in tokens}
