"""Promote, reject or inconclusive, and the sentences that say why."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from engine.conftest import Trained, rows_of, spec_of, train_in
from mlops.config.model_spec import ModelSpec, Split
from mlops.config.project import Project
from mlops.evaluation.outcome import EvaluationContext
from mlops.gate.champion import challenger_on, champion_on
from mlops.gate.findings import decision_of, finding_of
from mlops.gate.rules import Rule, rule_of
from mlops.gate.verdict import compare
from mlops.reporting.wording import with_sentences
from mlops.reporting.words import number
from mlops.results.evaluation import Check, Evaluation, FairnessResult, Metric, Slice
from mlops.results.training import Feature
from mlops.results.verdict import Comparison, Verdict
from mlops.training.model import Model


class Scored(Model):
    """A model whose scores are mixed with noise: `share` of it."""

    def __init__(self, model: Model, share: float, seed: int = 0) -> None:
        super().__init__(
            model.name, model.signature, model.pipeline, model.features_source
        )
        self.share, self.seed = share, seed

    def predict(self, raw: pd.DataFrame) -> pd.DataFrame:
        out = super().predict(raw)
        noise = np.random.default_rng(self.seed).random(len(raw))
        score = (1 - self.share) * out["score"].to_numpy() + self.share * noise
        label = np.where(score >= 0.5, "yes", "no")
        return pd.DataFrame({"prediction": label, "score": score}, index=raw.index)


def _evaluation(**changes: Any) -> Evaluation:
    metric = Metric(name="roc_auc", value=0.9, low=0.8, high=0.95)
    fine = {
        "ok": True,
        "rows": 172,
        "metrics": (metric,),
        "checks": (Check(name="a", ok=True),),
    }
    return Evaluation(**{**fine, **changes})


def _decide(
    t: Trained, challenger: Model, champion: Model | None, **how: Any
) -> Verdict:
    """Return the verdict on a challenger, with its sentences."""
    gate = {"rule": how.get("rule", "auto"), "margin": how.get("margin", 0.01)}
    spec = ModelSpec.model_validate({**t.spec.model_dump(), "gate": gate})
    folder = t.project.folder("churn")
    context = how.get("context") or EvaluationContext(spec, t.dataset, folder)
    asked = None
    if champion:
        asked = champion_on(
            context, champion, "v1.0.0", challenger.signature, how.get("old_training")
        )
    new = challenger_on(context, challenger, how.get("evaluation", _evaluation()))
    return with_sentences(
        compare(new, asked, rule_of(spec, how.get("code_changed", True)))
    )


def test_the_first_version_is_promoted_when_all_conditions_hold(
    trained: Trained,
) -> None:
    verdict = _decide(trained, trained.model, None)
    assert (verdict.decision, verdict.rule) == ("promote", "first version")
    assert verdict.comparison is None
    assert verdict.reasons == (
        "No version is in production yet, and no condition failed.",
    )


def test_better_is_promoted_and_worse_rejected(trained: Trained) -> None:
    weak = Scored(trained.model, 0.9)
    up, down = (
        _decide(trained, trained.model, weak),
        _decide(trained, weak, trained.model),
    )
    assert (up.decision, up.rule, up.champion) == ("promote", "superiority", "v1.0.0")
    assert up.comparison is not None
    assert up.comparison.low > 0
    assert "95% interval" in up.comparison.method
    assert up.comparison.confidence == 0.95
    assert down.decision == "reject"
    assert down.reasons[-1].startswith(
        "The new version is worse than the one in production"
    )


def test_what_cannot_be_told_is_inconclusive_and_says_how_much_could_be(
    trained: Trained,
) -> None:
    verdict = _decide(
        trained, Scored(trained.model, 0.02, 1), Scored(trained.model, 0.02, 2)
    )
    assert verdict.decision == "inconclusive"
    assert verdict.comparison is not None
    rows = trained.dataset.snapshot.test_rows
    shown = number(verdict.comparison.smallest_detectable)
    assert verdict.reasons[0].startswith("No significant difference")
    assert (
        f"On {rows} rows, a difference of {shown} would be detected in 4 of 5 such "
        "tests." in verdict.reasons[0]
    )


def test_fresh_data_alone_has_only_to_be_no_worse(trained: Trained) -> None:
    near = Scored(trained.model, 0.02)
    verdict = _decide(trained, near, trained.model, code_changed=False, margin=0.1)
    assert (verdict.decision, verdict.rule) == ("promote", "non-inferiority")
    assert verdict.comparison is not None
    assert "90% interval" in verdict.comparison.method
    assert verdict.comparison.confidence == 0.9
    far = _decide(
        trained, Scored(trained.model, 0.9), trained.model, code_changed=False
    )
    assert far.decision == "reject"
    assert "more than 0.010 worse" in far.reasons[-1]


def test_identical_predictions(trained: Trained) -> None:
    same = Scored(trained.model, 0.0)
    verdict = _decide(trained, same, trained.model, code_changed=True)
    assert verdict.decision == "inconclusive"
    assert verdict.reasons[0].startswith("Nothing changed")
    assert (
        _decide(trained, same, trained.model, code_changed=False).decision == "promote"
    )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"checks": (Check(name="latency", ok=False, message="too slow"),)},
            "latency (too slow)",
        ),
        (
            {"slices": (Slice(column="plan", value="pro", rows=9, ok=False),)},
            "plan = pro",
        ),
        (
            {
                "fairness": (
                    FairnessResult(
                        column="sex",
                        metric="accuracy",
                        difference=0.3,
                        limit=0.1,
                        ok=False,
                    ),
                )
            },
            "accuracy by sex (0.300, limit 0.100)",
        ),
    ],
)
def test_a_failed_condition_rejects_and_is_named(
    trained: Trained, changes: dict[str, Any], words: str
) -> None:
    evaluation = _evaluation(ok=False, **changes)
    first = _decide(trained, trained.model, None, evaluation=evaluation)
    assert first.decision == "reject"
    assert words in first.reasons[0]
    better = _decide(
        trained, trained.model, Scored(trained.model, 0.9), evaluation=evaluation
    )
    assert better.decision == "reject"
    assert words in better.reasons[0]
    assert better.comparison is not None  # shown all the same
    assert [c.ok for c in better.conditions].count(False) == 1


@pytest.mark.parametrize(
    ("seen", "slices", "fairness"),
    [
        (
            2,
            "Quality holds on 2 of 3 slices; the others have too few rows.",
            "2 of 3 limits between groups hold, 1 by a written exception; "
            "1 could not be measured.",
        ),
        (
            0,
            "None of the 3 slices could be measured: too few rows.",
            "None of the 3 limits could be measured: too few rows.",
        ),
    ],
)
def test_what_was_not_measured_is_not_said_to_hold(
    trained: Trained, seen: int, slices: str, fairness: str
) -> None:
    metric = Metric(name="roc_auc", value=0.9, low=0.8, high=0.95)
    groups = [
        Slice(column="plan", value=v, rows=9, metric=metric) for v in "abc"[:seen]
    ]
    small = [Slice(column="plan", value=v, rows=9) for v in "abc"[seen:]]
    limit = FairnessResult(
        column="sex", metric="accuracy", difference=0, limit=0.1, ok=True
    )
    wide = limit.model_copy(
        update={"difference": 0.3, "exception": "the law asks for it"}
    )
    unseen = limit.model_copy(update={"measured": False})
    limits = (
        (wide, *[limit] * (seen - 1), *[unseen] * (3 - seen)) if seen else [unseen] * 3
    )
    evaluation = _evaluation(slices=(*groups, *small), fairness=tuple(limits))
    verdict = _decide(trained, trained.model, None, evaluation=evaluation)
    assert verdict.decision == "promote"  # too few rows are no failure
    found = {c.name: (c.ok, c.measured, c.message) for c in verdict.conditions}
    assert found["slices"] == (True, seen > 0, slices)
    assert found["fairness"] == (True, seen > 0, fairness)


def test_an_evaluation_that_is_not_ok_never_passes(trained: Trained) -> None:
    """Whatever made it fail, even what no condition knows of."""
    verdict = _decide(trained, trained.model, None, evaluation=_evaluation(ok=False))
    assert verdict.decision == "reject"
    assert verdict.reasons


def _with_features(model: Model, **changes: Any) -> Model:
    signature = model.signature.model_copy(update=changes)
    return Model(model.name, signature, model.pipeline, model.features_source)


def test_a_champion_that_needs_a_lost_column_cannot_be_compared(
    trained: Trained,
) -> None:
    extra = Feature(name="income", kind="number", missing=False)
    old = _with_features(
        trained.model, features=(*trained.model.signature.features, extra)
    )
    verdict = _decide(trained, trained.model, old)
    assert verdict.decision == "inconclusive"
    assert (
        "v1.0.0 cannot predict these rows (columns are missing: income)"
        in verdict.reasons[0]
    )
    assert [c.name for c in verdict.conditions if not c.ok] == ["same rows"]


@pytest.mark.parametrize("duplicates", [0, 60])
def test_a_champion_of_other_columns_is_asked_as_the_files_have_them(
    make_project: Callable[..., Project], duplicates: int
) -> None:
    """`loyal` was a category and is a boolean now, `spare` is no feature any more."""
    frame = rows_of().assign(
        loyal=lambda rows: np.where(rows["churn"] == "yes", "no", "yes")
    )
    frame["spare"] = np.arange(len(frame)) % 7
    frame = pd.concat([frame, frame.head(duplicates)])
    known = {"tenure": "number", "plan": "category"}
    before = {**known, "loyal": "category", "spare": "number"}
    old = train_in(make_project(frame=frame, features=before))
    spec = spec_of(features={**known, "loyal": "boolean"})
    spec["data"]["ignore"] = ["spend", "spare"]
    path = old.project.folder("churn") / "model.yaml"
    path.write_text(json.dumps(spec))
    new = train_in(old.project)
    bench = EvaluationContext(new.spec, new.dataset, old.project.folder("churn"))
    verdict = _decide(
        new, new.model, old.model, context=bench, evaluation=_evaluation()
    )
    assert verdict.comparison is not None, verdict.reasons
    assert verdict.comparison.champion == pytest.approx(
        1.0, abs=0.01
    )  # it knows `loyal`
    assert verdict.decision == "inconclusive"
    there = EvaluationContext(old.spec, old.dataset).predicted(old.model)
    pd.testing.assert_frame_equal(bench.predicted(old.model), there)
    data = old.project.folder("churn") / "data" / "rows.csv"
    frame.assign(tenure=3).to_csv(data, index=False)
    changed = _decide(new, new.model, old.model)
    assert "the files have changed since they were read" in changed.reasons[0]


def test_a_champion_of_another_target_cannot_be_compared(trained: Trained) -> None:
    verdict = _decide(
        trained, trained.model, _with_features(trained.model, positive="no")
    )
    assert verdict.decision == "inconclusive"
    assert "predicts something else" in verdict.reasons[0]


def test_a_champion_that_breaks_on_these_rows_is_a_reason_and_no_crash(
    trained: Trained,
) -> None:
    broken = _with_features(trained.model)
    broken.pipeline = None
    verdict = _decide(trained, trained.model, broken)
    assert verdict.decision == "inconclusive"
    assert "v1.0.0 cannot predict these rows" in verdict.reasons[0]


@pytest.mark.parametrize(
    ("split", "learned"),
    [
        ({"by": "random", "test": 0.3, "seed": 2}, (0.6, 0.8)),  # nearly 7 in 10
        (
            {"by": "random", "test": 0.15, "seed": 1},
            (0.4, 0.6),
        ),  # the half that was left out
        ({"by": "group", "column": "gone", "test": 0.3}, (1, 1)),  # nobody knows
    ],
)
def test_a_champion_of_another_split_may_know_the_test(
    trained: Trained, split: dict[str, Any], learned: tuple[float, float]
) -> None:
    weak, old = Scored(trained.model, 0.9), Split.model_validate(split)
    before = trained.training.model_copy(update={"split": old, "split_by": ()})
    verdict = _decide(trained, trained.model, weak, old_training=before)
    assert verdict.decision == "promote"  # though the champion had it easier
    said = verdict.reasons[-1]
    rows = trained.dataset.snapshot.test_rows
    found = re.search(
        rf"v1.0.0 may have been trained on up to (\d+) of the {rows} test rows", said
    )
    assert found and "The split has changed" in said and "favours it" in said
    assert learned[0] <= int(found[1]) / rows <= learned[1]
    lost = _decide(trained, weak, trained.model, old_training=before)
    assert lost.decision == "inconclusive"  # it may have lost to memory


@pytest.mark.parametrize("smaller", [False, True])
def test_a_champion_of_the_same_split_has_learned_none_of_the_test(
    trained: Trained, smaller: bool
) -> None:
    """So too where the test was larger, with this one in it."""
    split = trained.spec.split.model_copy(update={"test": 0.5 if smaller else 0.3})
    before = trained.training.model_copy(update={"split": split})
    weak = Scored(trained.model, 0.9)
    verdict = _decide(trained, trained.model, weak, old_training=before)
    assert len(verdict.reasons) == 1 and "split" not in verdict.reasons[0]
    assert trained.training.split == trained.spec.split  # what the next gate is told
    lost = _decide(trained, weak, trained.model, old_training=before)
    assert lost.decision == "reject"


def unidentified(key: str | None = None, **features: str) -> dict[str, Any]:
    """Return the specification of rows with these features, by default without id."""
    spec = spec_of(features=features, sensitive=[])
    unused = sorted({"customer", "tenure", "spend", "plan", "sex"} - {*features, key})
    return {**spec, "data": {**spec["data"], "id": key, "ignore": unused}}


@pytest.mark.parametrize(
    ("before", "now", "same", "asks"),
    [
        ({"plan": "category"}, {"plan": "category"}, True, False),
        ({"plan": "category", "spend": "number"}, {"plan": "category"}, False, True),
        (
            {"plan": "category", "spend": "number"},
            {"spend": "number", "plan": "category"},
            False,
            True,
        ),
        ({"plan": "category"}, {"key": "customer", "plan": "category"}, False, False),
        (
            {"key": "customer", "plan": "category", "spend": "number"},
            {"key": "customer", "plan": "category"},
            True,
            False,
        ),
    ],
    ids=["nothing", "one less", "another order", "an id at last", "an id all along"],
)
def test_without_an_id_other_columns_split_the_rows_anew(
    make_project: Callable[..., Project],
    before: dict[str, str],
    now: dict[str, str],
    same: bool,
    asks: bool,
) -> None:
    """The champion was tested on other rows; those it learned are in the test now."""
    features = {"tenure": "number"}
    project = make_project(**unidentified(**before, **features))
    old = train_in(project)
    path = project.folder("churn") / "model.yaml"
    path.write_text(json.dumps(unidentified(**now, **features)))
    new = train_in(project)
    assert old.training.split == new.training.split
    worse, rows = Scored(new.model, 1.0), new.dataset.snapshot.test_rows
    how = {"old_training": old.training, "evaluation": _evaluation(rows=rows)}
    verdict = _decide(new, worse, old.model, **how)
    assert verdict.comparison is not None and verdict.comparison.high < 0
    assert verdict.decision == ("reject" if same else "inconclusive")
    said = (
        "The split has changed: v1.0.0 may have been trained on up to "
        f"{rows} of the {rows} test rows"
    )
    assert (said in verdict.reasons[-1]) is not same
    assert ("give the rows an id" in verdict.reasons[-1]) is asks


def test_other_metrics_inform(trained: Trained) -> None:
    metrics = {"primary": "roc_auc", "others": ["accuracy", "log_loss"]}
    spec = ModelSpec.model_validate({**trained.spec.model_dump(), "metrics": metrics})
    world = Trained(
        trained.project, spec, trained.dataset, trained.model, trained.training
    )
    verdict = _decide(world, trained.model, Scored(trained.model, 0.9))
    assert [c.metric for c in verdict.others] == ["accuracy", "log_loss"]
    assert all(c.difference > 0 for c in verdict.others)


def test_a_bench_saves_the_second_prediction(
    trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = EvaluationContext(trained.spec, trained.dataset)
    bench.outcome(trained.model)
    monkeypatch.setattr(trained.model, "predict", None)
    weak = Scored(Model.load(trained.project.build("churn"), "churn"), 0.9)
    assert _decide(trained, trained.model, weak, context=bench).decision == "promote"


@pytest.mark.parametrize(
    ("rule", "changed", "expected"),
    [
        ("auto", True, "superiority"),
        ("auto", False, "non-inferiority"),
        ("superiority", False, "superiority"),
        ("non-inferiority", True, "non-inferiority"),
    ],
)
def test_the_rule(trained: Trained, rule: str, changed: bool, expected: str) -> None:
    spec = ModelSpec.model_validate(
        {**trained.spec.model_dump(), "gate": {"rule": rule}}
    )
    assert rule_of(spec, changed).kind == expected


@pytest.mark.parametrize(
    ("low", "high", "superiority", "non_inferiority"),
    [
        (0.001, 0.02, "promote", "promote"),
        (0.0, 0.02, "inconclusive", "promote"),
        (-0.005, 0.02, "inconclusive", "promote"),
        (-0.01, 0.02, "inconclusive", "inconclusive"),
        (-0.03, -0.001, "reject", "inconclusive"),
        (-0.03, -0.02, "reject", "reject"),
    ],
)
def test_the_bounds(
    low: float, high: float, superiority: str, non_inferiority: str
) -> None:
    c = Comparison(
        metric="f1",
        champion=0.5,
        challenger=0.5,
        difference=(low + high) / 2,
        low=low,
        high=high,
        smallest_detectable=0.02,
        method="x",
    )
    for kind, expected in (
        ("superiority", superiority),
        ("non-inferiority", non_inferiority),
    ):
        rule = Rule(kind, ("f1",), margin=0.01)
        assert decision_of(finding_of(c, rule), rule) == expected


def test_households_are_counted_in_the_reason(trained: Trained) -> None:
    split = {"by": "group", "column": "plan", "test": 0.3}
    spec = ModelSpec.model_validate({**trained.spec.model_dump(), "split": split})
    dataset = dataclasses.replace(trained.dataset, spec=spec)
    world = Trained(trained.project, spec, dataset, trained.model, trained.training)
    verdict = _decide(world, trained.model, Scored(trained.model, 0.01))
    assert " rows in 3 groups" in verdict.reasons[0]
