"""Registering: what is refused, what is written, what is left when it is killed."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from mlops.errors import EnvironmentFailure, MlopsError, Refused, UsageError
from mlops.io.digests import sha256
from mlops.registry import tags
from mlops.registry.chain import fetch
from mlops.registry.manifest import Manifest, manifest_of
from mlops.registry.publish import register
from mlops.registry.version_numbers import change, next_number
from mlops.results.training import Feature, Signature, Training
from mlops.storage.folder import FolderStore

from .registry_world import (
    AGE,
    MODEL,
    NOW,
    PLAN,
    Killed,
    World,
    dying,
    failed,
    finished,
    git,
    killed,
    python,
    signature,
    training,
    world_fixture,  # noqa: F401
)


def complete(world: World, *numbers: str) -> None:
    """Assert that exactly these versions exist, each whole, and nothing else."""
    state = tags.read_registry(world.root)
    assert list(state.models[MODEL].versions) == list(numbers)
    assert not state.warnings
    assert world.store.list(MODEL) == sorted(numbers)
    for number in numbers:
        bundle = fetch(world.project, f"{MODEL}@{number}")
        assert set(os.listdir(world.project.store / MODEL / number)) == {
            *bundle.manifest.assets,
            "manifest.json",
        }
    assert git(world.root, "status", "--porcelain") == ""


def test_a_version_is_a_commit_with_manifest_and_tag(world: World) -> None:
    head = git(world.root, "rev-parse", "HEAD")
    index = (world.root / ".git" / "index").read_bytes()
    world.build()
    answer = world.register(run="https://example.com/run/1")
    version = answer.version
    assert (version.number, answer.created, answer.notes) == ("v1.0.0", True, ())
    assert git(world.root, "rev-parse", f"{version.commit}^") == head
    assert git(world.root, "rev-parse", "HEAD") == head
    assert (world.root / ".git" / "index").read_bytes() == index
    added = git(world.root, "diff", "--name-status", head, version.commit).split("\n")
    assert added == [
        f"A\tmodels/{MODEL}/data.lock.json",
        f"A\tmodels/{MODEL}/manifest.json",
    ]
    manifest, content = manifest_of(world.root, version)
    assert (manifest.code.commit, manifest.actor, manifest.previous) == (
        head,
        "@ana",
        None,
    )
    assert (
        manifest.metrics[0].name == "roc_auc" and manifest.verdict.decision == "promote"
    )
    assert sha256(content) == version.manifest_sha256
    assert version.event.trailers == {
        "Actor": "@ana",
        "Reason": "first version",
        "Run": "https://example.com/run/1",
        "Manifest-SHA256": sha256(content),
        "At": "2026-11-23T12:01:00+00:00",
    }
    assert git(world.root, "branch", "--contains", version.commit) == ""
    complete(world, "v1.0.0")
    git(world.root, "fsck", "--strict")


def test_the_same_model_again_is_the_same_version(world: World) -> None:
    world.build()
    first = world.register()
    again = world.register(run="run-2", actor="@ben")
    assert (again.version.number, again.created) == ("v1.0.0", False)
    assert again.version.event == first.version.event
    complete(world, "v1.0.0")


def test_numbers_say_what_changed(world: World) -> None:
    world.build()
    world.register()
    world.change_data("plus")
    world.build("model 2")
    assert (
        world.register().version.event.trailers["Reason"]
        == "patch: only the data changed"
    )
    assert world.release("model 3") == "v1.1.0"
    world.build("model 4", signature=signature(AGE))
    answer = world.register()
    assert answer.version.number == "v2.0.0"
    assert answer.version.event.trailers["Reason"] == "major: feature plan was removed"
    manifest, _ = manifest_of(world.root, answer.version)
    assert manifest.previous == "v1.1.0"
    complete(world, "v1.0.0", "v1.0.1", "v1.1.0", "v2.0.0")


def previous(**changes: Any) -> Manifest:
    old = training(**changes)
    return Manifest.model_construct(
        signature=old.signature,
        params=old.params,
        seed=old.seed,
        code=type("C", (), {"digest": old.code}),
        environment=type("E", (), {"lock_sha256": old.lock}),
        data=type("D", (), {"digest": old.snapshot}),
    )


@pytest.mark.parametrize(
    ("now", "level", "word"),
    [
        ({"snapshot": "1" * 64}, "patch", "data"),
        ({"model_sha256": "1" * 64}, "patch", "again"),
        ({"code": "1" * 64}, "minor", "code"),
        ({"params": {"C": 2.0}}, "minor", "parameters"),
        ({"seed": 1}, "minor", "seed"),
        ({"lock": "1" * 64, "snapshot": "1" * 64}, "minor", "environment"),
        ({"signature": signature(AGE)}, "major", "plan was removed"),
        (
            {"signature": signature(AGE, PLAN.model_copy(update={"kind": "number"}))},
            "major",
            "plan",
        ),
        ({"signature": signature(target="left")}, "major", "target"),
        (
            {"signature": signature(classes=("no", "perhaps", "yes"))},
            "major",
            "perhaps",
        ),
        ({"signature": signature(positive="no")}, "major", "positive"),
        ({"signature": signature(task="multiclass")}, "major", "task"),
        # A service wants every feature, also one that may be null.
        *(
            (
                {
                    "signature": signature(
                        AGE, PLAN, Feature(name="x", kind="date", missing=null)
                    )
                },
                "major",
                "x is new",
            )
            for null in (False, True)
        ),
        ({"signature": signature(threshold=0.3)}, "minor", "threshold"),
        # What the data say of a feature is no promise to a caller.
        (
            {
                "signature": signature(
                    AGE.model_copy(update={"high": 99.0, "missing": True}), PLAN
                )
            },
            "patch",
            "again",
        ),
        (
            {
                "signature": signature(
                    AGE, PLAN.model_copy(update={"categories": ("a", "b")})
                ),
                "snapshot": "1" * 64,
            },
            "patch",
            "only the data",
        ),
        ({"signature": signature(PLAN, AGE), "code": "1" * 64}, "minor", "code"),
        (
            {"params": {"C": 2.0}, "seed": 1, "snapshot": "1" * 64},
            "minor",
            "parameters, seed",
        ),
        (
            {"signature": signature(AGE), "params": {"C": 2.0}},
            "major",
            "plan was removed",
        ),
        ({"estimator": "Other", "rows": 1, "seconds": 9.0}, "patch", "again"),
        ({}, "patch", "again"),
    ],
)
def test_change_levels(now: dict[str, Any], level: str, word: str) -> None:
    assert change(previous(), training(**now))[0] == level
    assert word in change(previous(), training(**now))[1]


def test_every_field_of_training_and_signature_was_thought_of() -> None:
    """A new field makes this fail: say in `change` what it means for the version."""
    assert set(Training.model_fields) == {
        *("signature", "code", "params", "seed", "lock", "snapshot"),  # compared
        *("split", "split_by"),  # is part of the digest of the code
        *("rows", "estimator", "model_sha256", "features_sha256"),  # follow from those
        "modules_sha256",  # follows from the code
        *("seconds", "model_bytes"),  # may differ
    }
    assert set(Signature.model_fields) == {
        *("task", "target", "features", "classes", "positive", "threshold")
    }


def test_a_threshold_alone_is_a_version_of_its_own(world: World) -> None:
    world.build()
    world.register()
    world.build(signature=signature(threshold=0.3))
    answer = world.register()
    assert (answer.created, answer.version.number) == (True, "v1.1.0")
    assert answer.version.event.trailers["Reason"] == "minor: threshold changed"


def test_hourly_versions_of_one_commit(world: World) -> None:
    """One source commit, fresh data each time: a version each, all on that commit."""
    head = git(world.root, "rev-parse", "HEAD")
    for hour in range(4):
        world.build(f"model {hour}", snapshot=sha256(f"rows of hour {hour}".encode()))
        assert world.register().version.number == f"v1.0.{hour}"
    versions = tags.read_registry(world.root).models[MODEL].versions.values()
    parents = {
        git(world.root, "rev-parse", f"{version.commit}^") for version in versions
    }
    assert parents == {head} and len({version.commit for version in versions}) == 4
    assert git(world.root, "rev-parse", "HEAD") == head
    digests = {manifest_of(world.root, version)[0].data.digest for version in versions}
    assert len(digests) == 4
    complete(world, *(f"v1.0.{hour}" for hour in range(4)))


def test_a_manifest_says_what_a_version_is_made_of(world: World) -> None:
    world.build(sensitive=True)
    manifest, content = manifest_of(world.root, world.register().version)
    assert (manifest.owner, manifest.risk) == ("@ana", "limited")
    assert (manifest.source, manifest.sensitive) == ("data/*.csv", ("sex",))
    assert manifest.columns == {"age": "number", "sex": "category"}
    assert (manifest.train_seconds, manifest.train_cost, manifest.currency) == (
        3600,
        0.48,
        "USD",
    )
    assert [(s.column, s.value) for s in manifest.slices] == [("plan", "basic")]
    assert [(f.column, f.difference, f.groups) for f in manifest.fairness] == [
        ("sex", 0.04, ())
    ]
    assert b"female" not in content
    schema = json.loads(
        (
            Path(__file__).parents[2] / "docs" / "reference" / "manifest.schema.json"
        ).read_text()
    )
    jsonschema.validate(json.loads(content), schema)


def test_a_manifest_of_an_older_engine_still_reads(world: World) -> None:
    world.build()
    manifest, content = manifest_of(world.root, world.register().version)
    later = ("owner", "risk", "slices", "fairness", "source", "columns", "sensitive")
    older = {k: v for k, v in json.loads(content).items() if k not in later}
    read = Manifest.parse(json.dumps(older).encode(), "x")
    assert read.metrics == manifest.metrics and read.slices == () and read.owner == ""


def test_a_number_is_never_used_again() -> None:
    taken = ["v1.9.0", "v1.10.0", "v1.2.0"]
    assert next_number(taken, previous(), training(code="1" * 64))[0] == "v1.11.0"
    assert next_number(["v3.0.0"], None, training())[0] == "v4.0.0"
    assert next_number([], None, training()) == ("v1.0.0", "first version")


# -- refusals --------------------------------------------------------------------------


def refused(world: World, kind: type[MlopsError], *words: str) -> MlopsError:
    with pytest.raises(kind) as caught:
        world.register()
    assert type(caught.value) is kind
    for word in words:
        assert word in str(caught.value)
    assert not world.store.list(MODEL)
    return caught.value


def test_a_dirty_tree_is_refused_by_name(world: World) -> None:
    world.build()
    (world.root / "models" / MODEL / "note.txt").write_text("?")
    world.project.lock.write_text("scikit-learn==2\n")
    refused(world, Refused, f"models/{MODEL}/note.txt", "train.txt", "commit")


def test_outside_git(tmp_path: Path) -> None:
    plain = World(tmp_path / "plain").create()
    plain.build()
    shutil.rmtree(plain.root / ".git")
    refused(plain, UsageError, "not a git repository")
    git(plain.root, "init", "-q")
    refused(plain, UsageError, "no commit")


def test_nothing_built(world: World) -> None:
    refused(world, UsageError, "snapshot.json", "model.skops", "mlops run churn")


def test_all_mismatches_at_once(world: World) -> None:
    world.build()
    world.change_code("other")
    world.change_data("other")
    world.project.lock.write_text("other\n")
    (world.root / "build" / MODEL / "model.skops").write_text("other")
    world.commit("Other")
    error = refused(
        world,
        Refused,
        "code or specification",
        "requirements/train.txt",
        "rows.csv",
        "model.skops",
    )
    assert len(error.problems) == 4


@pytest.mark.parametrize("decision", ["reject", "inconclusive"])
def test_a_verdict_that_says_no(world: World, decision: str) -> None:
    world.build(decision=decision)
    error = refused(world, Refused, decision, "no better, p = 0.4")
    assert error.exit_code == 1


def test_unknown_model(world: World) -> None:
    with pytest.raises(UsageError, match="did you mean `churn`"):
        register(world.project, "chrun", actor="a", run="r", now=NOW)


def test_a_release_without_a_tag_is_not_overwritten(world: World) -> None:
    world.build()
    world.register()
    git(world.root, "tag", "-d", "churn@v1.0.0")
    world.build("another")
    with pytest.raises(Refused, match="no tag names it"):
        world.register()
    assert fetch_bytes(world, "v1.0.0", "model.skops") == b"model 1"


def fetch_bytes(world: World, release: str, asset: str) -> bytes:
    return b"".join(world.store.read(MODEL, release, asset))


# -- where git has little to offer -----------------------------------------------------


def test_detached_head_is_fine_and_said(world: World) -> None:
    world.build()
    git(world.root, "checkout", "-q", "--detach")
    assert "no branch" in world.register().notes[0]
    complete(world, "v1.0.0")


def test_without_an_identity_the_actor_is_used(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.build()
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("HOME", "")
    event = world.register(actor="@ana <evil>\nApprover: @eve").version.event
    assert event.tagger == "@ana evil Approver: @eve"
    assert (
        event.actor == "@ana <evil> Approver: @eve" and "Approver" not in event.trailers
    )
    assert git(world.root, "log", "-1", "--format=%ae", event.commit).endswith(
        "@localhost"
    )


def test_a_project_below_the_top_of_the_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = World(tmp_path / "mono" / "acme").create()
    shutil.move(inner.root / ".git", tmp_path / "mono" / ".git")
    for folder in (".github/workflows", "acme/.github/workflows"):
        (tmp_path / "mono" / folder).mkdir(parents=True)
        (tmp_path / "mono" / folder / "x.yml").write_text("on: push\n")
    inner.commit("Move")
    inner.build()
    number = inner.register().version.number
    files = git(
        inner.root, "ls-tree", "-r", "--name-only", "--full-tree", f"{MODEL}@{number}"
    )
    assert "acme/models/churn/manifest.json" in files.split("\n")
    kept = [file for file in files.split("\n") if file.endswith("x.yml")]
    assert kept == ["acme/.github/workflows/x.yml"], (
        "a job may not push GitHub's own in a tag"
    )
    complete(inner, "v1.0.0")


GPG = """\
#!/bin/sh
cat > /dev/null
echo "[GNUPG:] SIG_CREATED D 1 8 00 1 FPR" >&2
printf -- "-----BEGIN PGP SIGNATURE-----\\n\\nAAAA\\n-----END PGP SIGNATURE-----\\n"
"""


def test_signed_where_git_is_told_to(world: World, tmp_path: Path) -> None:
    program = tmp_path / "gpg"
    program.write_text(GPG)
    program.chmod(0o755)
    git(world.root, "config", "tag.gpgSign", "true")
    git(world.root, "config", "gpg.program", str(program))
    world.build()
    event = world.register().version.event
    assert "BEGIN PGP SIGNATURE" in git(world.root, "cat-file", "tag", event.tag)
    assert event.trailers["Actor"] == "@ana" and "At" in event.trailers
    complete(world, "v1.0.0")


@pytest.mark.system("ssh-keygen")
def test_a_real_signature_verifies_and_hides_nothing(
    world: World, tmp_path: Path
) -> None:
    key = tmp_path / "key"
    command = [
        "ssh-keygen",
        "-q",
        "-t",
        "ed25519",
        "-N",
        "",
        "-C",
        "test",
        "-f",
        str(key),
    ]
    subprocess.run(command, check=True)
    signers = tmp_path / "signers"
    signers.write_text(f"test@example.com {key.with_suffix('.pub').read_text()}")
    for name, value in (
        ("gpg.format", "ssh"),
        ("user.signingKey", str(key)),
        ("gpg.ssh.allowedSignersFile", str(signers)),
        ("tag.gpgSign", "true"),
    ):
        git(world.root, "config", name, value)
    world.release("one")
    world.promote("v1.0.0", "staging", reason="the last line")
    world.reject("v1.0.0", "staging")
    model = tags.read_registry(world.root).models[MODEL]
    assert [e.kind for e in model.events] == ["register", "assign", "unassign"]
    for event in model.events:
        assert "BEGIN SSH SIGNATURE" in git(world.root, "cat-file", "tag", event.tag)
        git(
            world.root, "verify-tag", event.tag
        )  # raises where the signature is not good
        assert event.trailers["Actor"] == "@ana" and "At" in event.trailers
        assert "SIGNATURE" not in event.text
    git(world.root, "tag", "-f", "-am", "moved", "churn#staging#1", "HEAD", "--no-sign")
    with pytest.raises(subprocess.CalledProcessError):
        git(world.root, "verify-tag", "churn#staging#1")


# -- killed anywhere -------------------------------------------------------------------


def effects(world: World) -> list[str]:
    with dying(-1, False, killed) as seen:
        world.register()
    return seen


def rehearse(tmp_path: Path, origin: bool) -> tuple[World, list[str]]:
    """Return a template to copy and the effects of one registration in it."""
    template = World(tmp_path / "template").create()
    template.build("first")
    if origin:
        git(tmp_path, "init", "-q", "--bare", "origin.git")
        git(template.root, "remote", "add", "origin", str(tmp_path / "origin.git"))
    template.register()
    template.change_code("second")
    template.build("second")
    trial = copy(template, tmp_path / "trial", origin)
    return template, effects(trial)


def copy(template: World, root: Path, origin: bool) -> World:
    shutil.copytree(template.root, root)
    if origin:
        remote = root.with_suffix(".git")
        shutil.copytree(template.root.parent / "origin.git", remote)
        git(root, "remote", "set-url", "origin", str(remote))
    return World(root)


def moments(seen: list[str]) -> list[tuple[int, bool]]:
    """Return before and after each effect; of the uploads only first and last."""
    uploads = [at for at, effect in enumerate(seen) if effect == "upload"]
    return [(at, after) for at in range(len(seen)) for after in (False, True)
            if at not in uploads[2:-1]]  # fmt: skip


def recovers(here: World, origin: bool) -> None:
    """Register again, and assert that nothing is left of what ended half way."""
    here.register()
    complete(here, "v1.0.0", "v1.1.0")
    if origin:
        there = git(here.root, "ls-remote", "--tags", "origin", "churn@*")
        assert there == git(here.root, "ls-remote", "--tags", ".", "churn@*")


# Forks for every moment: what the kernel kills runs no `finally`.
KILLED = """
import json
for at, after, root in json.loads(sys.argv[1]):
    if (child := os.fork()) == 0:
        with dying(at, after, lambda: os.kill(os.getpid(), signal.SIGKILL)):
            World(Path(root)).register()
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    assert os.WIFSIGNALED(status), (at, after, status)
    assert os.WTERMSIG(status) == signal.SIGKILL, (at, after, status)
"""


@pytest.mark.parametrize("origin", [False, True], ids=["alone", "origin"])
def test_killed_before_and_after_every_side_effect(
    tmp_path: Path, origin: bool
) -> None:
    template, seen = rehearse(tmp_path, origin)
    assert seen.count("upload") == 8 and {"draft", "claim", "publish"} <= set(seen)
    trials = [(at, after, tmp_path / f"{at}-{after}") for at, after in moments(seen)]
    for _, _, root in trials:
        copy(template, root, origin)
    finished(
        python(KILLED, json.dumps([(*moment, str(root)) for *moment, root in trials]))
    )
    for _, _, root in trials:
        recovers(World(root), origin)


@pytest.mark.parametrize("origin", [False, True], ids=["alone", "origin"])
def test_the_network_is_lost_before_and_after_every_side_effect(
    tmp_path: Path, origin: bool
) -> None:
    template, seen = rehearse(tmp_path, origin)
    for at, after in moments(seen):
        here = copy(template, tmp_path / f"{at}-{after}", origin)
        with pytest.raises(EnvironmentFailure), dying(at, after, failed):
            here.register()
        recovers(here, origin)


def test_a_retry_goes_on_with_its_own_draft(world: World) -> None:
    world.build()
    with pytest.raises(Killed), dying(6, True, killed):
        world.register()
    (draft,) = world.store.list(MODEL)
    world.register()
    manifest = fetch(world.project, f"{MODEL}@latest").manifest_bytes
    assert draft == f"draft-{sha256(manifest)}"


def test_a_draft_goes_when_another_build_takes_its_number(world: World) -> None:
    world.build("given up")
    with pytest.raises(Killed), dying(6, True, killed):
        world.register()
    world.build("other")
    world.register()
    complete(world, "v1.0.0")


def test_a_draft_of_somebody_at_work_stays(world: World) -> None:
    world.release("one")
    world.build("broken", signature=signature(AGE))
    with pytest.raises(Killed), dying(6, True, killed):
        world.register()  # would be v2.0.0
    (draft,) = (name for name in world.store.list(MODEL) if name.startswith("draft-"))
    assert world.release("two") == "v1.1.0"
    assert draft in world.store.list(MODEL)
    world.build("broken", signature=signature(AGE))
    assert world.register().version.number == "v2.0.0"
    complete(world, "v1.0.0", "v1.1.0", "v2.0.0")


def test_a_second_process_that_fills_a_draft_after_it_was_published(
    world: World,
) -> None:
    world.build()
    digest = world.register().version.manifest_sha256
    assert digest
    world.store.draft(MODEL, digest)
    world.store.upload(
        MODEL, digest, "report.md", world.project.build(MODEL) / "report.md"
    )
    world.register()
    complete(world, "v1.0.0")


def test_a_store_that_was_lost_is_filled_again(world: World) -> None:
    world.build()
    world.register()
    shutil.rmtree(world.project.store)
    assert not world.register().created
    complete(world, "v1.0.0")
    shutil.rmtree(world.project.store)
    (world.project.build(MODEL) / "report.md").write_text("another")
    assert "does not hold it" in world.register().notes[0]


# -- disks and other people ------------------------------------------------------------


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EIO])
def test_a_full_disk_leaves_nothing_half_written(
    world: World, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    world.build()
    copyfileobj, calls = shutil.copyfileobj, [0]

    def full(*args: Any) -> None:
        calls[0] += 1
        if calls[0] == 4:
            raise OSError(code, os.strerror(code))
        copyfileobj(*args)

    monkeypatch.setattr(shutil, "copyfileobj", full)
    refused(
        world, EnvironmentFailure, str(world.project.store), os.strerror(code).lower()
    )
    assert list((world.project.store / MODEL).iterdir()) == []
    world.register()
    complete(world, "v1.0.0")


def test_a_read_only_store(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.build()
    mkdir = Path.mkdir

    def read_only(self: Path, *args: Any, **kwargs: Any) -> None:
        if world.project.store in self.parents:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        mkdir(self, *args, **kwargs)

    monkeypatch.setattr(Path, "mkdir", read_only)
    refused(world, EnvironmentFailure, "permission denied", "writable")


def test_a_store_that_is_a_file(world: World) -> None:
    world.build()
    world.project.store.parent.mkdir()
    world.project.store.write_text("not a folder")
    with pytest.raises(EnvironmentFailure, match="releases"):
        world.register()
    assert not tags.read_registry(world.root).models


def test_a_disk_that_lies_is_caught_by_reading_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.build()
    upload = FolderStore.upload

    def lossy(
        self: FolderStore, model: str, digest: str, asset: str, source: Path
    ) -> None:
        upload(self, model, digest, asset, source)
        if asset == "model.skops":
            path = self.root / model / f"draft-{digest}" / asset
            path.write_bytes(path.read_bytes()[:-1] + b"!")

    monkeypatch.setattr(FolderStore, "upload", lossy)
    refused(world, Refused, "read back", "model.skops")


# One process that has imported everything forks one for each clone: they start at once.
AT_ONCE = """
children = {}
for root in sys.argv[1:]:
    if (child := os.fork()) == 0:
        done = World(Path(root)).register(run=root)
        Path(f"{root}.txt").write_text(f"{done.version.number} {done.created}")
        os._exit(0)
    children[child] = root
print(sum(os.waitpid(child, 0)[1] != 0 for child in children))
"""


def at_once(tmp_path: Path, world: World, models: list[str]) -> list[list[str]]:
    """Register models from as many clones at once; return versions, and what is new."""
    git(
        tmp_path, "clone", "-q", "--bare", str(world.root), str(tmp_path / "origin.git")
    )
    roots = [tmp_path / f"clone{at}" for at in range(len(models))]
    for root, model in zip(roots, models, strict=True):
        git(tmp_path, "clone", "-q", str(tmp_path / "origin.git"), str(root))
        World(root).build(model)
    assert finished(python(AT_ONCE, *map(str, roots))) == "0"
    return [Path(f"{root}.txt").read_text().split() for root in roots]


def test_twenty_clones_at_once(world: World, tmp_path: Path) -> None:
    answers = at_once(tmp_path, world, [f"model {at}" for at in range(20)])
    numbers = [number for number, _ in answers]
    assert sorted(numbers, key=tags.version_key) == [
        "v1.0.0",
        *(f"v1.0.{i}" for i in range(1, 20)),
    ]
    for at, number in enumerate(numbers):
        clone = World(tmp_path / f"clone{at}")
        assert clone.store.list(MODEL) == [number], (
            "no draft is left, and nobody else's version"
        )
        assert (
            fetch(clone.project, f"{MODEL}@{number}").read("model.skops")
            == b"model %d" % at
        )
    git(world.root, "remote", "add", "origin", str(tmp_path / "origin.git"))
    git(world.root, "fetch", "-q", "--tags", "origin")
    state = tags.read_registry(world.root)
    assert len(state.models[MODEL].versions) == 20 and not state.warnings


def test_the_same_model_from_four_clones_is_one_version(
    world: World, tmp_path: Path
) -> None:
    answers = at_once(tmp_path, world, ["one model"] * 4)
    assert sorted(answers) == [["v1.0.0", "False"]] * 3 + [["v1.0.0", "True"]]
    assert git(tmp_path / "origin.git", "tag") == "churn@v1.0.0"


def test_origin_out_of_reach(world: World, tmp_path: Path) -> None:
    world.build()
    git(world.root, "remote", "add", "origin", str(tmp_path / "nowhere.git"))
    refused(world, EnvironmentFailure, "origin cannot be reached")
    assert not tags.read_registry(world.root).models


@pytest.mark.parametrize(
    ("said", "do"),
    [
        (
            "refusing to allow a GitHub App to create or update workflow "
            "`.github/workflows/ci.yml` without `workflows` permission",
            "run the same command in a clone of your own",
        ),
        ("protected by a rule", "check your right to push"),
    ],
)
def test_a_tag_that_origin_does_not_take_says_what_to_do_and_can_be_tried_again(
    said: str, do: str, world: World, tmp_path: Path
) -> None:
    git(tmp_path, "init", "-q", "--bare", "origin.git")
    git(world.root, "remote", "add", "origin", str(tmp_path / "origin.git"))
    hook = tmp_path / "origin.git" / "hooks" / "pre-receive"
    hook.write_text(f"#!/bin/sh\necho '{said}' >&2\nexit 1\n")
    hook.chmod(0o755)
    world.build()
    with pytest.raises(EnvironmentFailure) as caught:
        world.register()
    assert said in str(caught.value) and do in str(caught.value)
    assert not tags.read_registry(world.root).models
    hook.unlink()
    assert world.register().version.number == "v1.0.0"


REFUSES_CHANGES = """#!/bin/sh
while read old new ref
do
    if git diff --name-only "$new^" "$new" -- .github/workflows | grep -q .
    then
        echo "refusing to allow a GitHub App to create or update workflow \\
without \\`workflows\\` permission" >&2
        exit 1
    fi
done
"""


def test_where_leaving_workflows_out_is_a_change_the_version_has_them_unchanged(
    world: World, tmp_path: Path
) -> None:
    """GitHub does not say whether deleting them counts against a job's token."""
    workflow = world.root / ".github" / "workflows" / "x.yml"
    workflow.parent.mkdir(parents=True)
    workflow.write_text("name: x\n")
    git(world.root, "add", "-A")
    git(world.root, "commit", "-qm", "A workflow")
    git(tmp_path, "init", "-q", "--bare", "origin.git")
    git(world.root, "remote", "add", "origin", str(tmp_path / "origin.git"))
    hook = tmp_path / "origin.git" / "hooks" / "pre-receive"
    hook.write_text(REFUSES_CHANGES)
    hook.chmod(0o755)
    world.build()
    version = world.register().version
    assert version.number == "v1.0.0"
    listed = git(world.root, "ls-tree", "-r", "--name-only", version.commit)
    assert ".github/workflows/x.yml" in listed.splitlines()
    assert git(tmp_path / "origin.git", "tag") == "churn@v1.0.0"
    complete(world, "v1.0.0")


def test_origin_that_rewrote_a_tag_raises_the_alarm(
    world: World, tmp_path: Path
) -> None:
    git(tmp_path, "init", "-q", "--bare", "origin.git")
    git(world.root, "remote", "add", "origin", str(tmp_path / "origin.git"))
    world.build()
    world.register()
    git(
        tmp_path / "origin.git",
        "tag",
        "-f",
        "-am",
        "moved",
        "churn@v1.0.0",
        "churn@v1.0.0~1",
    )
    world.change_code("next")
    world.build("next")
    with pytest.raises(Refused, match="rewritten"):
        world.register()
