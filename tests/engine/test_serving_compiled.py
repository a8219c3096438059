"""The compiled pipeline in the registry and in the service."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import numpy as np
import onnx
import pandas as pd
import pytest
from fastapi.testclient import TestClient
from pandas.testing import assert_frame_equal
from typer.testing import CliRunner

from mlops.cli.main import app as cli
from mlops.config.project import Project
from mlops.data.known import respell, spellings
from mlops.data.types import cast
from mlops.errors import Refused
from mlops.io.digests import sha256
from mlops.io.files import write_bytes
from mlops.pipeline import compile_again
from mlops.registry.assets import ready
from mlops.registry.chain import Bundle, fetch
from mlops.registry.manifest import Manifest, dump
from mlops.registry.reproduce import reproduce
from mlops.results.compilation import Compilation
from mlops.results.training import Feature, Signature
from mlops.serving.app import create_app
from mlops.serving.fast_path import TypedRows, outputs_of
from mlops.serving.prediction_log import PredictionLog, records
from mlops.serving.requests import Requests
from mlops.serving.server import follow
from mlops.training.compiled import CompiledPipeline

from .conftest import Trained, train_in
from .serving_world import release

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
REF = "churn@production"
ROW = {"tenure": 12, "spend": 50.5, "plan": "plus"}


def client(project: Project) -> TestClient:
    """Return a client of the service of production."""
    follower = follow(project, "churn", "production")
    assert follower.refresh(), follower.failure
    log = PredictionLog(project.state, "churn")
    return TestClient(create_app(follower, log, lambda: NOW))


# -- the service -----------------------------------------------------------------------


def test_a_compiled_version_is_served_compiled_and_says_so(trained: Trained) -> None:
    release(trained, compiled=True)
    service = client(trained.project)
    assert service.get("/model").json()["serving"] == {"compiled": True, "reason": ""}
    rows = [ROW, {**ROW, "plan": None}, {**ROW, "spend": None}, {**ROW, "plan": "new"}]
    predicted = service.post("/predict", json={"rows": rows}).json()["predictions"]
    expected = trained.model.predict(pd.DataFrame(rows))
    scores = [one["score"] for one in predicted]
    assert np.allclose(scores, expected["score"], rtol=0, atol=1e-5)
    labels = [one["prediction"] for one in predicted]
    assert labels == expected["prediction"].tolist()
    assert "mlops_pipeline_rows_total 0.0\n" in service.get("/metrics").text


def test_what_only_the_pipeline_knows_it_predicts(trained: Trained) -> None:
    release(trained, compiled=True)
    service = client(trained.project)
    rows = [ROW, {**ROW, "plan": "nan"}]
    predicted = service.post("/predict", json={"rows": rows}).json()["predictions"]
    expected = trained.model.predict(pd.DataFrame(rows))
    assert [one["score"] for one in predicted] == expected["score"].tolist()
    assert "mlops_pipeline_rows_total 2.0\n" in service.get("/metrics").text


def test_a_version_from_before_is_served_by_the_pipeline(trained: Trained) -> None:
    release(trained)
    serving = client(trained.project).get("/model").json()["serving"]
    assert serving["compiled"] is False
    assert serving["reason"] == "the version is from before pipelines were compiled"


def test_a_file_that_onnxruntime_cannot_load_is_no_reason_not_to_serve(
    trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    release(trained, compiled=True)

    def broken(_: Bundle) -> None:
        raise ImportError("no module named onnxruntime")

    monkeypatch.setattr(Bundle, "compiled", broken)
    service = client(trained.project)
    serving = service.get("/model").json()["serving"]
    assert serving == {"compiled": False, "reason": "it cannot be loaded: ImportError"}
    assert service.post("/predict", json={"rows": ROW}).status_code == 200


def test_a_compiled_pipeline_that_fails_the_examples_does_not_serve(
    trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    release(trained, compiled=True)
    run = CompiledPipeline.run

    def wrong(self: CompiledPipeline, inputs: pd.DataFrame) -> Any:
        return run(self, inputs) * 0.9

    monkeypatch.setattr(CompiledPipeline, "run", wrong)
    service = client(trained.project)
    serving = service.get("/model").json()["serving"]
    assert serving["compiled"] is False
    assert serving["reason"].endswith("gives different predictions for the examples")
    predicted = service.post("/predict", json={"rows": ROW}).json()["predictions"]
    expected = trained.model.predict(pd.DataFrame([ROW]))
    assert predicted[0]["score"] == expected["score"][0]


# -- the registry ----------------------------------------------------------------------


def test_the_compiled_pipeline_is_an_asset_by_digest(trained: Trained) -> None:
    release(trained, compiled=True)
    bundle = fetch(trained.project, REF)
    facts = bundle.manifest.compiled
    assert facts is not None and facts.ok and facts.reason == ""
    assert facts.model_sha256 == bundle.manifest.assets["model.skops"].sha256
    assert facts.compiled_sha256 == bundle.manifest.assets["model.onnx"].sha256
    assert facts.rows > 100 and facts.difference < facts.tolerance == 1e-5
    assert "compiled.json" not in bundle.manifest.assets  # the manifest says it


def test_a_changed_compiled_pipeline_keeps_the_version_out(trained: Trained) -> None:
    release(trained, compiled=True)
    path = next(trained.project.store.rglob("model.onnx"))
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    follower = follow(trained.project, "churn", "production")
    assert not follower.refresh()
    assert "model.onnx is not the file that was registered" in str(follower.failure)


def test_what_was_not_compiled_here_is_not_registered(trained: Trained) -> None:
    release(trained, compiled=True)
    build = trained.project.build("churn")
    write_bytes(build / "model.onnx", b"something else")
    with pytest.raises(Refused, match=r"do not match HEAD: model\.onnx"):
        ready(trained.project, "churn")
    compile_again.main(trained.project.root, "churn")
    other = Compilation.load(build).model_copy(update={"model_sha256": "0" * 64})
    other.save(build)
    with pytest.raises(Refused, match="the model that was compiled"):
        ready(trained.project, "churn")


def test_a_manifest_from_before_stays_as_it_is(trained: Trained) -> None:
    release(trained, compiled=True)
    manifest = fetch(trained.project, REF).manifest
    old = json.loads(dump(manifest))
    del old["compiled"]
    del old["assets"]["model.onnx"]
    read = Manifest.parse(json.dumps(old).encode(), "old")
    assert read.compiled is None
    assert read.same_model(trained.training)


def test_a_version_is_compiled_again_to_the_same_bytes(trained: Trained) -> None:
    release(trained, compiled=True)
    done = reproduce(trained.project, REF)
    assert (done.same, done.compiled, done.differences) == (True, "same", ())


def test_another_compiled_pipeline_is_not_reproducible(trained: Trained) -> None:
    build = trained.project.build("churn")
    compile_again.main(trained.project.root, "churn")
    # As if another skl2onnx had made it: the same graph with a note.
    graph = onnx.load_from_string((build / "model.onnx").read_bytes())
    graph.doc_string = "a note"
    content = graph.SerializeToString()
    write_bytes(build / "model.onnx", content)
    facts = Compilation.load(build)
    facts.model_copy(update={"compiled_sha256": sha256(content)}).save(build)
    release(trained)
    done = reproduce(trained.project, REF)
    assert (done.same, done.compiled) == (False, "different")
    assert done.differences == ("the compiled pipeline, model.onnx, has other bytes",)


# -- the run ---------------------------------------------------------------------------


def test_a_run_says_what_will_serve_the_model(
    make_project: Callable[..., Project], monkeypatch: pytest.MonkeyPatch
) -> None:
    project = make_project()
    monkeypatch.chdir(project.root)
    done = CliRunner().invoke(cli, ["run", "churn"])
    assert "Served by the compiled pipeline: equal to the pipeline on " in done.stdout
    text = (project.folder("churn") / "model.yaml").read_text()
    (project.folder("churn") / "model.yaml").write_text(
        text + "serving:\n  compile: false\n"
    )
    done = CliRunner().invoke(cli, ["run", "churn", "--json"])
    facts = json.loads(done.stdout)["churn"]
    assert facts["steps"]["train"] == "skipped"  # it changes nothing that was learnt
    assert facts["steps"]["test"] == "ran"
    assert facts["compiled"]["ok"] is False
    assert facts["compiled"]["reason"] == "serving.compile is false"
    assert not (project.build("churn") / "model.onnx").exists()


# -- rows and outputs ------------------------------------------------------------------

KINDS = Signature(
    task="binary",
    target="x",
    features=(
        Feature(name="number", kind="number", missing=True),
        Feature(name="boolean", kind="boolean", missing=True),
        Feature(name="category", kind="category", missing=True, categories=("a", "b")),
        Feature(name="code", kind="category", missing=True, categories=("1", "2.0")),
        Feature(name="text", kind="text", missing=True),
        Feature(name="date", kind="date", missing=True),
        Feature(name="day", kind="date", missing=True, format="%d.%m.%Y"),
    ),
)
FULL = {
    "number": 3,
    "boolean": True,
    "category": "a",
    "code": 2,
    "text": "words, and more",
    "date": "2026-01-31T10:00:00+02:00",
    "day": "31.01.2026",
}


@pytest.mark.parametrize("n", [1, 3, 700])
def test_validated_rows_get_the_types_that_training_had(n: int) -> None:
    missing = dict.fromkeys(FULL, None)
    odd = {**FULL, "number": 1e300, "boolean": "no", "code": "1.0", "category": "zzz"}
    sent = [[FULL, missing, odd][k % 3] for k in range(n)]
    requests = Requests(KINDS)
    rows = requests.rows(json.dumps({"rows": sent}).encode())
    kinds = {f.name: f.kind for f in KINDS.features}
    formats = {f.name: f.format for f in KINDS.features if f.format}
    expected = cast(requests.frame(rows), kinds, formats)
    expected["code"] = respell(expected["code"], spellings(("1", "2.0")))
    assert_frame_equal(TypedRows(KINDS).frame(rows), expected)


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_outputs_are_those_of_the_model(
    make_project: Callable[..., Project], task: str
) -> None:
    trained = train_in(make_project(task))
    test = trained.dataset.part("test")
    values = trained.model.values(trained.model.features(test))
    expected = records(trained.model.predict(test))
    assert outputs_of(trained.model.signature, values) == expected
