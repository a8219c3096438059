"""What the engine of 0.1.0 decided is resolved, numbered and signed from there on."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from mlops.config.project import Project
from mlops.registry import tags
from mlops.registry.health import problems

from .conftest import Kept, restore

# Later than all that happened in the kept repository, and in the order of the tests.
LATER = 1_798_761_600  # 2027-01-01, in seconds since 1970

AN_HOUR_AFTER_0_1 = 1_767_326_400  # after its last decision and before the update

SIGNERS = ".github/allowed_signers"


def at(kept: Kept, hours: int) -> Kept:
    """Return the same repository as it is used so many hours later."""
    seconds = LATER + 3600 * hours
    times = {
        "SOURCE_DATE_EPOCH": str(seconds),
        "GIT_AUTHOR_DATE": f"{seconds} +0000",
        "GIT_COMMITTER_DATE": f"{seconds} +0000",
    }
    return replace(kept, environment={**kept.environment, **times})


def stages(kept: Kept, engine: Path | None = None) -> dict[str, str]:
    """Return the stages of each version, as an engine lists them."""
    listing = ("registry", "list", "--all", "--json")
    text = kept.mlops(*listing, engine=engine) if engine else kept.mlops(*listing)
    return {row["version"]: row["stages"] for row in json.loads(text)}


def numbers(kept: Kept) -> list[int]:
    """Return the numbers of all decisions about churn, in order."""
    events = tags.read_registry(kept.root).model("churn").events
    return sorted(event.counter for event in events if event.counter)


# -- Numbers ---------------------------------------------------------------------------


def test_the_old_engine_skips_no_number_whatever_was_decided(tmp_path: Path) -> None:
    """A number that is missing makes a stage unresolvable: so none may be by right.

    The old engine of the kept repository itself rejects, puts back, rolls back,
    withdraws, retires and prunes; and two of its clones decide at the same time, so
    that two decisions have one number.
    """
    kept = restore(tmp_path)
    old = kept.root
    decisions: list[tuple[str, ...]] = [
        ("reject", "churn@v1.0.1", "staging", "-m", "unfair"),
        ("promote", "churn@v1.0.1", "staging", "--again", "-m", "it is fair"),
        ("promote", "churn@v1.0.1", "production", "--again", "-m", "again"),
        ("rollback", "churn", "production", "-m", "complaints"),
        ("reject", "price@v1.0.0", "staging", "-m", "wrong labels"),
        ("withdraw", "price@v1.0.0", "-m", "wrong labels"),
        ("deprecate", "price", "-m", "nobody asks for it"),
    ]
    for hour, words in enumerate(decisions):
        at(kept, hour).mlops(*words, engine=old)
    other = replace(kept, root=tmp_path / "other")
    kept.git("clone", "--quiet", str(kept.root), str(other.root), folder=tmp_path)
    other.git("remote", "remove", "origin")
    shutil.copytree(kept.root / ".mlops", other.root / ".mlops")
    reject = ("reject", "churn@v1.0.1", "staging", "-m", "too slow")
    at(kept, 10).mlops(*reject, engine=old)
    back = ("promote", "churn@v1.0.1", "production", "--again", "-m", "too fast")
    at(other, 10).mlops(*back, engine=old)
    kept.git("fetch", "--quiet", str(other.root), "refs/tags/*:refs/tags/*")
    at(kept, 11).mlops("rollback", "churn", "production", "-m", "once more", engine=old)
    prune = ("registry", "prune", "--keep", "0", "--days", "0", "--yes")
    at(kept, 12).mlops(*prune, engine=old)

    found = numbers(kept)
    assert len(found) > len(set(found)), "two clones gave the same number"
    assert set(found) == set(range(1, max(found) + 1))
    state = tags.read_registry(kept.root)
    assert state.unresolved == []
    assert all(model.lost == 0 for model in state.models.values())
    assert stages(kept) == stages(kept, engine=old)
    assert stages(kept)["churn@v1.0.0"] == "staging, production"


def test_a_decision_of_the_old_engine_that_was_deleted_is_missed(
    updated: tuple[Kept, str], tmp_path: Path
) -> None:
    """What was decided with a higher number holds; the rest is decided anew."""
    kept = copied(updated[0], tmp_path)
    kept.git("tag", "--delete", "churn#production#5")
    state = tags.read_registry(kept.root).model("churn")
    assert set(state.unresolved) == {"staging"}
    assert "the number #5 was deleted" in state.unresolved["staging"]
    assert state.stages["production"].number == "v1.0.0"
    listed = kept.said("registry", "list")
    assert "churn@staging cannot be resolved" in listed
    promote = ("promote", "churn@v1.0.1", "staging")
    at(kept, 1).mlops(*promote, "-m", "as it was", code=1)
    again = (*promote, "--override-rejection", "-m", "as it was")
    at(kept, 2).mlops(*again)
    assert stages(kept) == stages(updated[0])


# -- Signatures ------------------------------------------------------------------------


def copied(kept: Kept, folder: Path) -> Kept:
    """Return a copy of a repository that a test may change."""
    copy = replace(kept, root=folder / kept.root.name)
    shutil.copytree(kept.root, copy.root, symlinks=True)
    return copy


def demand_signatures(kept: Kept) -> None:
    """Do what docs/how-to/sign-approvals.md says, up to the first signature."""
    home = Path(kept.environment["HOME"])
    home.mkdir(exist_ok=True)
    key = home / "approvals"
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)]
    subprocess.run(command, check=True)
    kept.git("config", "user.signingkey", f"{key}.pub")
    public = " ".join(key.with_suffix(".pub").read_text().split()[:2])
    (kept.root / SIGNERS).write_text(f'@ben namespaces="git" {public}\n')
    path = kept.root / "project.yaml"
    text = path.read_text()
    empty = "    approvers: [] # such as"
    assert text.count(empty) == 1, "the stage production of 0.1.0"
    text = text.replace(empty, '    approvers: ["@ben", "@carl"] # such as')
    path.write_text(f"{text}allowed_signers: {SIGNERS}\n")
    kept.git("add", "--all")
    kept.git("commit", "--quiet", "--message", "Approvals are signed from here on")


@pytest.fixture
def guarded(updated: tuple[Kept, str], tmp_path: Path) -> Kept:
    """The updated repository, in which approvals of production have to be signed."""
    home = tmp_path / "home"
    kept = copied(updated[0], tmp_path)
    kept = replace(kept, environment={**kept.environment, "HOME": str(home)})
    demand_signatures(at(kept, 1))
    return kept


def forge(kept: Kept, number: int, seconds: int) -> None:
    """Put v1.0.1 into production as somebody does who has a token and no key."""
    version = tags.read_registry(kept.root).model("churn").versions["v1.0.1"]
    trailers = f"Actor: ana\nApprover: @ben\nManifest-SHA256: {version.manifest_sha256}"
    dated = {"GIT_COMMITTER_DATE": f"{seconds} +0000"}
    forger = replace(kept, environment={**kept.environment, **dated})
    tag = f"churn#production#{number}"
    message = f"Promote\n\n{trailers}\n"
    forger.git("tag", "--annotate", "--message", message, tag, version.commit)


@pytest.mark.system("ssh-keygen")
def test_what_was_promoted_before_signatures_were_demanded_still_holds(
    updated: tuple[Kept, str], guarded: Kept
) -> None:
    assert stages(guarded) == stages(updated[0])
    found = problems(Project(guarded.root))
    assert not any("resolved" in line or "approval" in line for line in found)


@pytest.mark.system("ssh-keygen")
def test_whoever_has_no_key_decides_nothing_from_then_on(guarded: Kept) -> None:
    promote = ("promote", "churn@v1.0.1", "production", "--override-rejection")
    said = at(guarded, 2).said(*promote, "-m", "better", "--approver", "@ben", code=1)
    assert "have to sign" in said
    said = at(guarded, 2).said("rollback", "churn", "production", "-m", "x", code=1)
    assert "have to sign" in said
    assert stages(guarded)["churn@v1.0.0"] == "production"


@pytest.mark.system("ssh-keygen")
def test_after_the_first_signature_no_tag_can_be_forged(guarded: Kept) -> None:
    """Step 5 of docs/how-to/sign-approvals.md, which closes what was open before."""
    signed = ("--sign", "--approver", "@ben", "-m", "signatures from here on")
    at(guarded, 2).mlops("promote", "churn@production", "production", *signed)
    assert stages(guarded)["churn@v1.0.0"] == "production"
    assert numbers(guarded)[-1] == 7, "signing is a decision of its own"
    forge(guarded, 8, AN_HOUR_AFTER_0_1)
    assert stages(guarded)["churn@v1.0.0"] == "production"
    forge(guarded, 9, LATER + 3 * 3600)
    problem = tags.read_registry(guarded.root).model("churn").unresolved["production"]
    assert "churn#production#9 has no approval by @ben that holds" in problem
    assert "it is not signed with an SSH key" in problem


@pytest.mark.system("ssh-keygen")
def test_a_signed_rollback_brings_back_what_was_promoted_unsigned(
    guarded: Kept,
) -> None:
    by_ben = ("--sign", "--approver", "@ben")
    forward = ("promote", "churn@v1.0.1", "production", "--override-rejection")
    at(guarded, 2).mlops(*forward, *by_ben, "-m", "it was no fault of the model")
    assert stages(guarded)["churn@v1.0.1"] == "staging, production"
    at(guarded, 3).mlops("rollback", "churn", "production", *by_ben, "-m", "it was")
    assert stages(guarded)["churn@v1.0.0"] == "production"
