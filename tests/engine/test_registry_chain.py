"""The chain of digests: after any change nothing is handed out, and the link named."""

from __future__ import annotations

import io
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from sklearn.preprocessing import FunctionTransformer
from typer.testing import CliRunner

from mlops.cli.main import app
from mlops.errors import Refused, UsageError
from mlops.evaluation import samples
from mlops.io.digests import sha256
from mlops.registry import assets, health, queries, sbom, tags
from mlops.registry.chain import chain, fetch
from mlops.registry.manifest import Manifest
from mlops.registry.publish import register
from mlops.results.evaluation import EXAMPLES, REFERENCE, Evaluation, Metric
from mlops.results.verdict import Verdict
from mlops.storage.folder import FolderStore
from mlops.training.model_file import dump

from .conftest import Trained
from .registry_world import MODEL, NOW, World, git, world_fixture  # noqa: F401
from .serving_world import release


def refused(world: World, link: str, ref: str = "v1.0.0", *words: str) -> None:
    with pytest.raises(Refused) as caught:
        fetch(world.project, f"{MODEL}@{ref}")
    assert link in str(caught.value)
    for word in words:
        assert word in str(caught.value)


def one(world: World) -> Path:
    world.release("one")
    return world.project.store / MODEL / "v1.0.0"


def test_what_was_registered_is_what_is_read(world: World, tmp_path: Path) -> None:
    one(world)
    bundle = fetch(world.project, f"{MODEL}@latest")
    assert bundle.read("model.skops") == b"one"
    paths = bundle.save(tmp_path / "pulled")
    assert {p.name for p in paths} == {*bundle.manifest.assets, "manifest.json"}
    assert sha256((tmp_path / "pulled" / "manifest.json").read_bytes()) == (
        bundle.version.manifest_sha256
    )
    with pytest.raises(Refused, match="no asset passwd"):
        bundle.read("passwd")


ASSETS = (*assets.REQUIRED, sbom.SBOM, "report.md")


@pytest.mark.parametrize("asset", ASSETS)
@pytest.mark.parametrize("how", ["flip", "cut", "grow", "remove"])
def test_a_changed_asset(world: World, asset: str, how: str) -> None:
    path = one(world) / asset
    content = path.read_bytes()
    if how == "remove":
        path.unlink()
        refused(world, "does not hold this file", "v1.0.0", asset)
        return
    changes = {
        "flip": bytes([content[0] ^ 1]) + content[1:],
        "cut": content[:-1],
        "grow": content + b"\0",
    }
    path.write_bytes(changes[how])
    refused(world, "manifest → asset", "v1.0.0", asset)


def test_an_asset_that_changes_after_the_check(world: World) -> None:
    path = one(world) / "model.skops"
    bundle = fetch(world.project, f"{MODEL}@v1.0.0")
    path.write_bytes(b"evil")
    with pytest.raises(Refused, match="manifest → asset"):
        bundle.read("model.skops")
    with pytest.raises(Refused, match="manifest → asset"):
        bundle.save(world.root / "build" / "pulled")
    assert not (world.root / "build" / "pulled" / "model.skops").exists()


def test_swapped_assets(world: World) -> None:
    folder = one(world)
    first, second = folder / "model.skops", folder / "features.py"
    a, b = first.read_bytes(), second.read_bytes()
    first.write_bytes(b)
    second.write_bytes(a)
    refused(world, "manifest → asset")


def test_the_release_of_another_version(world: World) -> None:
    folder = one(world)
    world.release("two")
    shutil.rmtree(folder)
    shutil.copytree(folder.with_name("v1.1.0"), folder)
    refused(world, "tag → manifest in the store")


def test_a_changed_manifest_in_the_store(world: World) -> None:
    path = one(world) / "manifest.json"
    manifest = json.loads(path.read_bytes())
    manifest["assets"]["model.skops"]["sha256"] = sha256(b"evil")
    path.write_text(json.dumps(manifest))
    refused(world, "tag → manifest in the store")


def retag(world: World, tag: str, target: str, message: str | None = None) -> None:
    message = message or git(
        world.root, "for-each-ref", "--format=%(contents)", f"refs/tags/{tag}"
    )
    git(world.root, "tag", "-f", "-am", message, tag, target)


def test_a_moved_tag(world: World) -> None:
    one(world)
    world.release("two")
    retag(world, "churn@v1.0.0", "churn@v1.1.0^{commit}")
    refused(world, "tag → manifest", "v1.0.0", "a different manifest")
    retag(world, "churn@v1.0.0", "HEAD")
    refused(world, "tag → manifest", "v1.0.0", "no manifest")


def test_a_tag_with_the_whole_message_of_another_version(world: World) -> None:
    one(world)
    world.release("two")
    message = git(
        world.root, "for-each-ref", "--format=%(contents)", "refs/tags/churn@v1.1.0"
    )
    retag(world, "churn@v1.0.0", "churn@v1.1.0^{commit}", message)
    refused(world, "manifest → version", "v1.0.0", "churn@v1.1.0")


def child(world: World, parent: str, *also: str) -> str:
    """Return a commit with the tree of v1.0.0 and other parents."""
    arguments = [a for p in (parent, *also) for a in ("-p", p)]
    return git(
        world.root, "commit-tree", "churn@v1.0.0^{tree}", *arguments, "-m", "forged"
    )


def test_the_right_tree_on_another_commit(world: World) -> None:
    one(world)
    retag(world, "churn@v1.0.0", child(world, "HEAD~1"))
    refused(world, "tag → commit")
    retag(world, "churn@v1.0.0", child(world, "HEAD", "HEAD~1"))
    refused(world, "tag → commit")


def test_a_manifest_of_another_model(world: World) -> None:
    one(world)
    git(
        world.root,
        "tag",
        "-am",
        "x\n\nManifest-SHA256: " + "0" * 64,
        "other@v1.0.0",
        "HEAD",
    )
    with pytest.raises(Refused, match="tag → manifest"):
        fetch(world.project, "other@v1.0.0")


def test_a_changed_data_lock(world: World) -> None:
    one(world)
    git(world.root, "read-tree", "churn@v1.0.0")
    blob = git(world.root, "hash-object", "-w", "project.yaml")
    path = f"models/{MODEL}/data.lock.json"
    git(world.root, "update-index", "--cacheinfo", f"100644,{blob},{path}")
    tree = git(world.root, "write-tree")
    forged = git(world.root, "commit-tree", tree, "-p", "HEAD", "-m", "forged")
    retag(world, "churn@v1.0.0", forged)
    refused(world, "manifest → data lock")


def test_a_version_that_was_replaced_after_its_promotion(world: World) -> None:
    one(world)
    world.promote("v1.0.0", "staging")
    git(world.root, "tag", "-d", "churn@v1.0.0")
    shutil.rmtree(world.project.store)
    world.now = NOW
    world.build("evil twin")
    world.register()
    target = git(world.root, "rev-parse", "churn@v1.0.0^{commit}")
    retag(world, "churn#staging#1", target)
    refused(world, "stage → tag", "staging")


def test_tags_that_others_made(world: World) -> None:
    git(world.root, "tag", "-am", "by gto", "churn@v1.0.0")
    refused(world, "tag → manifest", "v1.0.0", "names no manifest")


def test_a_withdrawn_version(world: World) -> None:
    one(world)
    git(world.root, "tag", "-am", "no", "churn@v1.0.0!", "churn@v1.0.0^{commit}")
    refused(world, "withdrawn")


def test_a_manifest_from_the_future(world: World) -> None:
    content = (one(world) / "manifest.json").read_bytes()
    newer = {**json.loads(content), "unheard": 1}
    assert Manifest.parse(json.dumps(newer).encode(), "x") == Manifest.parse(
        content, "x"
    )
    with pytest.raises(Refused, match="newer"):
        Manifest.parse(json.dumps({**newer, "schema": 2}).encode(), "x")
    with pytest.raises(Refused, match="assets"):
        Manifest.parse(
            json.dumps({**newer, "assets": {"a": {"sha256": "x"}}}).encode(), "x"
        )


# -- the store -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "release", "asset"),
    [
        ("..", "v1.0.0", "a"),
        ("churn/..", "v1.0.0", "a"),
        ("churn", "..", "a"),
        ("churn", "v1.0.0/../..", "a"),
        ("churn", "v1.0.0", ".."),
        ("churn", "v1.0.0", "/etc"),
        ("churn", "v1.0.0", "a/b"),
        ("churn", "v1.0.0", ".hidden"),
        ("churn", "v1.0.0", "a\0"),
        ("churn", "draft-1", "a"),
        ("churn", "v1.0.0\n", "a"),
        ("churn", "v1.0.0", ""),
    ],
)
def test_no_name_leads_out_of_the_store(
    tmp_path: Path, model: str, release: str, asset: str
) -> None:
    with pytest.raises(Refused, match="not a name"):
        list(FolderStore(tmp_path / "store").read(model, release, asset))


@pytest.mark.parametrize("what", ["asset", "release", "model"])
def test_no_link_leads_out_of_the_store(
    world: World, tmp_path: Path, what: str
) -> None:
    folder = one(world)
    path = {"asset": folder / "report.md", "release": folder, "model": folder.parent}[
        what
    ]
    path.rename(tmp_path / "outside")
    path.symlink_to(tmp_path / "outside")
    refused(world, "leads out of the release store")


def test_a_store_that_is_itself_a_link(world: World, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    world.project.store.parent.mkdir()
    world.project.store.symlink_to(tmp_path / "elsewhere")
    one(world)
    assert fetch(world.project, f"{MODEL}@latest").read("report.md")


def test_operations_may_be_repeated(tmp_path: Path) -> None:
    store, digest = FolderStore(tmp_path / "store"), "0" * 64
    source = tmp_path / "file"
    source.write_text("x")
    store.discard(MODEL, digest)
    for _ in range(2):
        store.draft(MODEL, digest)
    for _ in range(2):
        store.upload(MODEL, digest, "a", source)
    for _ in range(2):
        store.publish(MODEL, digest, "v1.0.0")
    assert store.list(MODEL) == ["v1.0.0"]
    (tmp_path / "store" / MODEL / "notes").mkdir()
    assert store.list(MODEL) == ["v1.0.0"] and store.list("other") == []


# -- what the command line asks --------------------------------------------------------


def test_api(world: World) -> None:
    folder = one(world)
    world.promote("v1.0.0", "staging")
    version, manifest = queries.show(world.project, f"{MODEL}@staging")
    assert (version.number, manifest.version) == ("v1.0.0", "v1.0.0")
    assert [v.number for v in queries.versions(tags.read_registry(world.root))] == [
        "v1.0.0"
    ]
    kinds = [(e.kind, e.stage, e.actor) for e in queries.history(world.project, MODEL)]
    assert kinds == [("register", None, "@ana"), ("assign", "staging", "@ana")]
    assert health.problems(world.project) == []
    world.release("two")
    shutil.rmtree(folder.with_name("v1.1.0"))
    (problem,) = health.problems(world.project)
    assert problem == "churn@v1.1.0: the release store does not hold it"
    shutil.copytree(folder, folder.with_name("v1.1.0"))
    assert health.problems(world.project) == []
    shutil.rmtree(folder)
    git(world.root, "tag", "churn@v3.0.0")
    assert [p.split(":")[0] for p in health.problems(world.project)] == [
        "churn@v3.0.0",
        "churn@v1.0.0",
    ]
    with pytest.raises(UsageError, match="did you mean `churn`"):
        queries.history(world.project, "chrun")


# -- a real model ----------------------------------------------------------------------


@pytest.fixture
def gated(trained: Trained) -> Trained:
    build = trained.project.build("churn")
    metric = Metric(name="roc_auc", value=0.9, low=0.8, high=0.95)
    Evaluation(ok=True, rows=180, metrics=(metric,)).save(build)
    Verdict(decision="promote", rule="first version", reasons=("first",)).save(build)
    test = trained.dataset.part("test")
    samples.draw(trained.spec, trained.model, test, trained.model.predict(test), build)
    return trained


def test_a_real_model_comes_back_from_verified_bytes(gated: Trained) -> None:
    project = gated.project
    answer = register(project, "churn", actor="@ana", run="r1", now=NOW)
    assert (answer.created, answer.version.number) == (True, "v1.0.0")
    bundle = fetch(project, "churn@v1.0.0")
    model, test = bundle.model(), gated.dataset.part("test")
    pd.testing.assert_frame_equal(model.predict(test), gated.model.predict(test))
    reference = pd.read_parquet(io.BytesIO(bundle.read(REFERENCE)))
    shown = [*gated.spec.features, "prediction", "score", "churn"]
    assert list(reference) == shown and "sex" not in shown
    assert len(reference) == min(5000, len(test))
    examples = json.loads(bundle.read(EXAMPLES))
    assert len(examples) == 10
    rows = pd.DataFrame([e["features"] for e in examples])
    expected = pd.DataFrame([e["expected"] for e in examples])
    assert model.predict(rows)["score"].tolist() == expected["score"].tolist()
    assert model.predict(rows)["prediction"].tolist() == expected["prediction"].tolist()
    assert bundle.manifest.data.rows == gated.dataset.snapshot.rows
    again = register(project, "churn", actor="@ana", run="r2", now=NOW)
    assert (again.created, again.version.number) == (False, "v1.0.0")


def test_samples_are_bounded_seeded_and_hide_what_must_be_hidden(
    make_project: Callable[..., object],
) -> None:
    from .conftest import rows_of, train_in

    frame = rows_of(n=1500)
    frame["day"] = pd.date_range("2026-01-01", periods=len(frame), freq="h").astype(str)
    features = {
        "tenure": "number",
        "plan": "category",
        "sex": "category",
        "day": "date",
    }
    done = train_in(
        make_project(  # type: ignore[arg-type]
            frame=frame,
            features=features,
            split={"by": "group", "column": "plan", "test": 0.5, "seed": 3},
            data={
                "source": "data/*.csv",
                "id": "customer",
                "target": "churn",
                "positive": "yes",
                "ignore": ["spend"],
            },
        )
    )
    test = done.dataset.part("test")
    rows = samples.examples(done.spec, done.model, test)
    assert rows == samples.examples(done.spec, done.model, test)
    assert all(
        r["features"]["sex"] is None and r["features"]["plan"] is None for r in rows
    )
    again = done.model.predict(pd.DataFrame([r["features"] for r in rows]))
    assert again["score"].tolist() == [r["expected"]["score"] for r in rows]
    text = json.dumps(rows)
    assert "male" not in text and "c0-" not in text
    table = samples.reference(done.spec, done.model, test, done.model.predict(test))
    assert sorted(table) == ["churn", "day", "prediction", "score", "tenure"]
    many = pd.concat([test] * 20, ignore_index=True)
    assert (
        len(samples.reference(done.spec, done.model, many, done.model.predict(many)))
        == 5000
    )


def test_a_feature_named_like_an_output_is_refused(gated: Trained) -> None:
    spec = gated.spec.model_copy(
        update={"features": {**gated.spec.features, "score": "number"}}
    )
    rows = gated.dataset.part("test").assign(score=1.0)
    with pytest.raises(UsageError, match="score"):
        samples.reference(spec, gated.model, rows, gated.model.predict(rows))


# -- every reader ----------------------------------------------------------------------


def test_every_verb_that_reads_a_release_refuses_a_changed_byte(
    trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever it is: the folder says nothing of its files, so all are read."""
    release(trained)
    project = trained.project
    monkeypatch.chdir(project.root)
    data = str(project.folder("churn") / "data" / "rows.csv")
    readers = [
        ["pull", "churn@v1.0.0", "--out", "out"],
        ["predict", "churn@production", data, "--out", "out.csv"],
        ["serve", "churn@production", "--port", "0"],
        ["smoke", "churn@production"],
        ["monitor", "churn@production"],
        ["reproduce", "churn@v1.0.0"],
        ["test", "churn", "--force"],
        ["doctor"],
    ]
    for asset in ("model.skops", "training.json", "manifest.json"):
        path = project.store / "churn" / "v1.0.0" / asset
        content = path.read_bytes()
        path.write_bytes(bytes([content[0] ^ 1]) + content[1:])
        for arguments in readers:
            result = CliRunner().invoke(app, arguments, prog_name="mlops")
            assert result.exit_code == 1, (arguments, result.output)
            text = " ".join(result.output.split())
            link = (
                "tag → manifest in the store"
                if asset == "manifest.json"
                else "manifest → asset"
            )
            assert f"the chain of digests is broken at {link}" in text, (
                arguments,
                text,
            )
            assert f"churn@v1.0.0 {asset}" in text, (arguments, text)
        path.write_bytes(content)
    assert not [p for p in project.root.glob("out*") if p.is_file() or any(p.iterdir())]


def test_a_model_of_foreign_types_is_refused_by_whoever_reads_it(world: World) -> None:
    """Its own repository may trust them and its chain holds: the reader decides."""
    world.build(dump(FunctionTransformer(os.path.join)))
    world.register()
    bundle = fetch(world.project, f"{MODEL}@v1.0.0")
    with pytest.raises(Refused, match="types that are not allowed"):
        bundle.model()


def test_a_model_that_is_no_archive_is_refused_too(world: World) -> None:
    world.build(b"PK not a model")
    world.register()
    with pytest.raises(Refused, match="not a model file of this engine"):
        fetch(world.project, f"{MODEL}@v1.0.0").model()


def test_pulling_hands_out_all_or_nothing(world: World, tmp_path: Path) -> None:
    folder = one(world)
    bundle = chain(world.root, f"{MODEL}@v1.0.0", world.store)
    (folder / "training.json").write_text("{}")  # the last but one that is copied
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "model.skops").write_text("of an earlier pull")
    with pytest.raises(Refused, match="manifest → asset"):
        bundle.save(tmp_path / "out")
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["model.skops"]
    assert (tmp_path / "out" / "model.skops").read_text() == "of an earlier pull"
