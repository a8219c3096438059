"""Where signatures are demanded, decisions hold by an approver's key or not at all."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from mlops.cli.main import app
from mlops.errors import EnvironmentFailure, Refused
from mlops.io import ssh
from mlops.registry import tags
from mlops.registry.approvals import POLICY, is_signed, unapproved, unexplained
from mlops.registry.branch import tip
from mlops.registry.chain import chain
from mlops.registry.health import problems
from mlops.registry.mirror import mirror
from mlops.registry.verified import FILE
from mlops.reporting.site import site

from .registry_world import MODEL, NOW, PROJECT, World, follower_of, git, in_production

pytestmark = pytest.mark.system("ssh-keygen")

PEOPLE = ("ana", "ben", "carl", "mallory")

SIGNERS = ".github/allowed_signers"

APPROVED = PROJECT + '    approvers: ["@ben", "@carl", "@ana"]\n'

SIGNED = f"{APPROVED}allowed_signers: {SIGNERS}\n"


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return a private key for each person; the public one lies beside it."""
    folder = tmp_path_factory.mktemp("keys")
    found = {}
    for name in (*PEOPLE, "ben-new"):
        path = folder / name
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name]
        subprocess.run([*command, "-f", str(path)], check=True)
        found[name] = path
    return found


class SignedWorld(World):
    """A repository whose commits, too, are made at the world's time."""

    keys: dict[str, Path]

    def commit(self, message: str) -> str:
        self.now += timedelta(minutes=1)
        when = f"{int(self.now.timestamp())} +0000"
        env = {**os.environ, "GIT_COMMITTER_DATE": when, "GIT_AUTHOR_DATE": when}
        command = ["git", "commit", "--no-gpg-sign", "-qm", message]
        git(self.root, "add", "-A")
        subprocess.run(command, cwd=self.root, check=True, env=env)
        return git(self.root, "rev-parse", "HEAD")

    def line(self, name: str, options: str = "", key: str = "") -> str:
        """Return a line of the file of allowed signers."""
        public = self.keys[key or name].with_suffix(".pub").read_text()
        return f"@{name} {options} {' '.join(public.split()[:2])}\n"

    def allow(self, *lines: str) -> str:
        """Commit a file of allowed signers; return the commit."""
        path = self.root / SIGNERS
        path.parent.mkdir(exist_ok=True)
        path.write_text("# who may approve\n" + "".join(lines))
        return self.commit("Allowed signers")

    def sign_as(self, name: str) -> None:
        """Let git sign with a key; the last one given in a repository counts."""
        git(self.root, "config", "user.signingKey", f"{self.keys[name]}.pub")

    def approve(self, number: str, name: str = "ben", **more: Any) -> None:
        """Put a version into production, signed."""
        self.sign_as(name)
        facts = {"approver": f"@{name.partition('-')[0]}", "sign": True}
        self.promote(number, "production", **{**facts, **more})

    def forge(self, tag: str = "", **how: Any) -> str:
        """Write a tag as somebody does who has git, a token and maybe a key; name it.

        Without a name it is the next that puts something into production.

        `trailers` replace the right ones; `key` and `namespace` say how it is signed,
        `inner` the name in the object, `at` its date, `number` the version.
        """
        number = tags.read_registry(self.root).models[MODEL].counter + 1
        tag = tag or f"churn#production#{number}"
        oid = self.tag_object(tag, **how)
        git(self.root, "update-ref", f"refs/tags/{tag}", oid)
        return tag

    def tag_object(self, tag: str, **how: Any) -> str:
        self.now += timedelta(minutes=1)
        number = how.get("number", "v1.1.0")
        version = tags.read_registry(self.root).models[MODEL].versions[number]
        trailers = {
            "Actor": "@github-actions[bot]",
            "Approver": "@ben",
            "Reason": "go",
            "Manifest-SHA256": version.manifest_sha256,
            POLICY: git(self.root, "rev-parse", "main"),
        }
        trailers |= how.get("trailers", {})
        lines = [f"{key}: {text}\n" for key, text in trailers.items() if text]
        at = int(how.get("at", self.now).timestamp())
        content = (
            f"object {version.commit}\ntype commit\ntag {how.get('inner', tag)}\n"
            f"tagger x <x@localhost> {at} +0000\n\nPromote\n\n{''.join(lines)}"
        )
        signature = how.get("signature", "")
        if how.get("key"):
            space = how.get("namespace", "git")
            signature = self.signature(content, self.keys[how["key"]], space)
        command = ["git", "hash-object", "-t", "tag", "-w", "--stdin"]
        done = subprocess.run(
            command,
            cwd=self.root,
            check=True,
            capture_output=True,
            input=content + signature,
            text=True,
        )
        return done.stdout.strip()

    def signature(self, content: str, key: Path, namespace: str = "git") -> str:
        command = ["ssh-keygen", "-Y", "sign", "-n", namespace, "-f", str(key)]
        done = subprocess.run(
            command, check=True, capture_output=True, input=content, text=True
        )
        return done.stdout


@pytest.fixture
def world(tmp_path: Path, keys: dict[str, Path]) -> SignedWorld:
    """v1.0.0 in production, signed by @ben; v1.1.0, registered by @ana, in staging."""
    ssh.verification.cache_clear()
    world = SignedWorld(tmp_path / "acme")
    world.keys = keys
    world.create(SIGNED)
    world.allow(*(world.line(name) for name in ("ana", "ben", "carl")))
    for name in ("one", "two"):
        world.promote(world.release(name), "staging")
    world.approve("v1.0.0")
    return world


def refused(world: World, *words: str) -> None:
    """Assert that production cannot be resolved, and that the reason is named."""
    with pytest.raises(Refused, match="cannot be resolved") as caught:
        in_production(world)
    for word in words:
        assert word in str(caught.value)


# -- What holds ------------------------------------------------------------------------


def test_a_signature_of_an_approver_holds(world: SignedWorld) -> None:
    assert in_production(world) == "v1.0.0"
    world.approve("v1.1.0", "carl")
    assert in_production(world) == "v1.1.0"
    assert chain(world.root, f"{MODEL}@production", world.store)
    assert problems(world.project) == []


def test_a_tag_that_is_signed_by_git_and_ssh_keygen_alone_holds(
    world: SignedWorld,
) -> None:
    world.forge(key="ben")
    assert in_production(world) == "v1.1.0"


def test_verifying_does_not_depend_on_the_users_git(
    world: SignedWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {
        "gpg.format": "openpgp",
        "gpg.ssh.allowedSignersFile": "/nowhere",
        "gpg.ssh.program": "/bin/false",
        "gpg.ssh.revocationFile": "/nowhere",
        "gpg.minTrustLevel": "ultimate",
        "user.signingKey": "nobody",
    }
    for key, value in settings.items():
        git(world.root, "config", key, value)
    assert in_production(world) == "v1.0.0"


def test_a_rollback_and_a_rejection_that_are_signed_hold(world: SignedWorld) -> None:
    world.approve("v1.1.0")
    world.rollback("production", approver="@ben", sign=True)
    assert in_production(world) == "v1.0.0"
    world.approve("v1.1.0", override=True)
    world.reject("v1.1.0", "production", approver="@ben", sign=True)
    assert in_production(world) == "v1.0.0"


# -- What only a token wrote -----------------------------------------------------------


def test_what_only_a_token_wrote_is_refused_by_all_who_read(
    world: SignedWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(world.root)
    follower, taken_up = follower_of(world)
    world.forge()
    refused(world, "no approval by @ben that holds", "not signed with an SSH key")
    with pytest.raises(Refused, match="cannot be resolved"):
        chain(world.root, f"{MODEL}@production", world.store)
    assert not follower.refresh() and taken_up == ["v1.0.0"]
    assert follower.failure is not None and "not signed" in follower.failure
    assert any("churn#production#4" in line for line in problems(world.project))
    page = site(world.project, world.store, NOW).files["index.html"].decode()
    assert "production cannot be resolved" in page and "is not signed" in page
    assert "put v1.1.0 into production (without approval)" in page
    assert page.count("(without approval)") == 1
    pulled = CliRunner().invoke(app, ["pull", f"{MODEL}@production"], prog_name="mlops")
    assert pulled.exit_code == 1 and "cannot be resolved" in pulled.output
    done: Result = CliRunner().invoke(app, ["registry", "history", MODEL, "--json"])
    rows = json.loads(done.stdout)
    assert rows[-1]["event"].endswith("(without approval)")
    assert not any("without approval" in row["event"] for row in rows[:-1])
    world.approve("v1.1.0", override=True)
    assert in_production(world) == "v1.1.0"


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"key": "mallory"}, "not by a key that the file gives to this person"),
        ({"key": "ana"}, "not by a key that the file gives to this person"),
        ({"key": "carl"}, "not by a key that the file gives to this person"),
        ({"key": "ben", "namespace": "file"}, "not by a key"),
        ({"key": "ana", "trailers": {"Approver": "@ana"}}, "@ana registered this"),
        ({"key": "mallory", "trailers": {"Approver": "@mallory"}}, "names @mallory"),
        ({"key": "ben", "trailers": {"Approver": ""}}, "no approval by @ana, @ben"),
        ({"key": "ben", "trailers": {"Manifest-SHA256": ""}}, "manifest of churn@v1.1"),
        ({"key": "ben", "trailers": {"Manifest-SHA256": "0" * 64}}, "the manifest of"),
        ({"key": "ben", "inner": "churn#staging#4"}, "not the tag object"),
        ({"signature": "-----BEGIN SSH SIGNATURE-----\nx\n"}, "not by a key"),
        ({"signature": "-----BEGIN PGP SIGNATURE-----\nx\n"}, "not signed with an SSH"),
        ({"trailers": {POLICY: "0" * 40}}, "project.yaml that is not in this clone"),
    ],
)
def test_a_forged_approval_does_not_hold(
    world: SignedWorld, how: dict[str, Any], words: str
) -> None:
    world.forge(**how)
    refused(world, words, "churn#production#4")


def test_a_signature_that_was_taken_from_another_tag_does_not_hold(
    world: SignedWorld,
) -> None:
    oid = git(world.root, "rev-parse", "churn#production#3")
    content = git(world.root, "cat-file", "tag", oid)
    taken = content[content.index("-----BEGIN") :] + "\n"
    world.forge(signature=taken)
    refused(world, "the signature is not of this content")


def test_a_signed_tag_under_another_name_does_not_hold(world: SignedWorld) -> None:
    world.approve("v1.1.0")
    oid = git(world.root, "rev-parse", "churn#production#3")
    git(world.root, "update-ref", "refs/tags/churn#production#5", oid)
    assert in_production(world) == "v1.1.0", "its date is in the object: it is earlier"
    model = tags.read_registry(world.root).models[MODEL]
    missing = unapproved(world.root, model, model.events)
    assert list(missing) == ["churn#production#5"]
    assert (
        "not the tag object that was made under this name"
        in missing["churn#production#5"]
    )


@pytest.mark.parametrize("key", [None, "mallory"])
@pytest.mark.parametrize("kind", ["unassign", "deregister"])
def test_a_token_cannot_bring_back_the_version_before(
    world: SignedWorld, key: str | None, kind: str
) -> None:
    world.approve("v1.1.0")
    tag = "churn#production!#5" if kind == "unassign" else "churn@v1.1.0!"
    world.forge(tag, key=key)
    refused(world, tag)


def test_a_rollback_is_undone_by_no_token(world: SignedWorld) -> None:
    world.approve("v1.1.0")
    world.rollback("production", approver="@ben", sign=True)
    refused(world, world.forge())


def test_a_rollback_passes_over_no_version_that_nobody_approved(
    world: SignedWorld,
) -> None:
    before = NOW + timedelta(days=1)
    world.forge(at=before)
    world.now = before + timedelta(days=1)
    world.promote(world.release("three"), "staging")
    world.approve("v1.2.0", override=True)
    with pytest.raises(
        Refused, match="never put into production with a valid approval"
    ):
        world.rollback("production", approver="@ben", sign=True)


# -- Which project.yaml decides --------------------------------------------------------


def test_a_policy_that_is_not_on_the_branch_decides_nothing(
    world: SignedWorld,
) -> None:
    git(world.root, "switch", "-q", "-c", "theirs")
    world.allow(world.line("ben", key="mallory"))
    theirs = git(world.root, "rev-parse", "HEAD")
    git(world.root, "switch", "-q", "main")
    world.forge(key="mallory", trailers={POLICY: theirs})
    refused(world, "not by a key that the file gives to this person")


def test_the_commits_of_a_merged_branch_decide_nothing(world: SignedWorld) -> None:
    git(world.root, "switch", "-q", "-c", "theirs")
    world.allow(world.line("ben", key="mallory"))
    theirs = git(world.root, "rev-parse", "HEAD")
    world.allow(*(world.line(name) for name in ("ana", "ben", "carl")))
    git(world.root, "switch", "-q", "main")
    git(world.root, "merge", "-q", "--no-ff", "-m", "Merge", "theirs")
    world.forge(key="mallory", trailers={POLICY: theirs})
    refused(world, "not by a key that the file gives to this person")


@pytest.mark.parametrize("named", [True, False])
def test_an_old_policy_without_signatures_cannot_be_named_anew(
    tmp_path: Path, keys: dict[str, Path], named: bool
) -> None:
    world = SignedWorld(tmp_path / "acme")
    world.keys = keys
    world.create(APPROVED)
    old = git(world.root, "rev-parse", "HEAD")
    for name in ("one", "two"):
        world.promote(world.release(name), "staging")
    world.promote("v1.0.0", "production", approver="@ben")
    (world.root / "project.yaml").write_text(SIGNED)
    world.allow(world.line("ben"), world.line("carl"))
    assert in_production(world) == "v1.0.0", "approved as it had to be then"
    world.approve("v1.0.0")
    assert is_signed(
        world.root, tags.read_registry(world.root).models[MODEL].events[-1]
    )
    trailers = {POLICY: old if named else ""}
    tag = world.forge(trailers=trailers)
    refused(world, "not signed with an SSH key")
    git(world.root, "tag", "-d", tag)
    world.forge("churn#production#2", trailers=trailers, at=world.now)
    refused(world, "not signed with an SSH key")


def test_a_version_that_was_registered_since_cannot_be_approved_by_an_older_policy(
    tmp_path: Path, keys: dict[str, Path]
) -> None:
    world = SignedWorld(tmp_path / "acme")
    world.keys = keys
    world.create(APPROVED)
    old = git(world.root, "rev-parse", "HEAD")
    world.promote(world.release("one"), "staging")
    (world.root / "project.yaml").write_text(SIGNED)
    world.allow(world.line("ben"))
    world.release("two")
    world.forge("churn#production#2", trailers={POLICY: old}, at=NOW)
    refused(world, "not signed with an SSH key")


def test_a_pull_request_does_not_say_who_may_approve(world: SignedWorld) -> None:
    """As in its job: what is checked out is the merge, and GitHub's ref is on it."""
    git(world.root, "switch", "-q", "-c", "theirs")
    (world.root / "project.yaml").write_text(PROJECT)
    world.commit("Nobody has to approve")
    git(world.root, "switch", "-q", "--detach", "main")
    git(world.root, "merge", "-q", "--no-ff", "-m", "Merge", "theirs")
    git(world.root, "update-ref", "refs/remotes/pull/7/merge", "HEAD")
    assert tip(world.root) == git(world.root, "rev-parse", "main")
    world.forge(trailers={POLICY: git(world.root, "rev-parse", "HEAD")})
    refused(world, "not signed with an SSH key")


def test_a_branch_that_is_called_main_is_not_trusted_for_its_name(
    world: SignedWorld,
) -> None:
    main = git(world.root, "rev-parse", "main")
    git(world.root, "update-ref", "refs/remotes/origin/trunk", main)
    git(
        world.root,
        "symbolic-ref",
        "refs/remotes/origin/HEAD",
        "refs/remotes/origin/trunk",
    )
    git(world.root, "switch", "-q", "-c", "theirs")
    world.allow(world.line("ben", key="mallory"))
    git(world.root, "update-ref", "refs/remotes/origin/main", "HEAD")
    world.forge(key="mallory", trailers={POLICY: git(world.root, "rev-parse", "HEAD")})
    refused(world, "not by a key that the file gives to this person")


# -- Keys change -----------------------------------------------------------------------


def day(offset: int) -> str:
    """Return a day from the world's first on, as OpenSSH writes it."""
    return f"{NOW + timedelta(days=offset):%Y%m%d}"


def rotate(world: SignedWorld) -> None:
    """Let ben's old key expire on the third day, and let a new one begin there."""
    world.allow(
        world.line("carl"),
        world.line("ben", f'valid-before="{day(3)}"'),
        world.line("ben", f'valid-after="{day(3)}"', key="ben-new"),
    )


def test_a_rotated_key_holds_for_its_time(world: SignedWorld) -> None:
    rotate(world)
    world.approve("v1.1.0", "ben")
    assert in_production(world) == "v1.1.0"
    world.now = NOW + timedelta(days=5)
    assert in_production(world) == "v1.1.0", "old tags stay valid"
    world.approve("v1.0.0", "ben-new")
    assert in_production(world) == "v1.0.0"


def test_a_key_that_was_removed_holds_for_what_it_signed(world: SignedWorld) -> None:
    world.allow(world.line("carl"))
    assert in_production(world) == "v1.0.0"
    world.forge(key="ben")
    refused(world, f"{SIGNERS} gives @ben no key")


@pytest.mark.parametrize(
    ("key", "days", "words"),
    [
        ("ben", 5, "the key has expired"),
        ("ben-new", 1, "the key is not yet valid"),
    ],
)
def test_a_key_does_not_hold_outside_of_its_time(
    world: SignedWorld, key: str, days: int, words: str
) -> None:
    rotate(world)
    world.now = NOW + timedelta(days=days)
    world.forge(key=key)
    refused(world, words)


@pytest.mark.parametrize("zone", ["UTC", "Pacific/Kiritimati", "America/Adak"])
def test_times_of_keys_are_those_of_utc_everywhere(
    world: SignedWorld, zone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", zone)
    ends = NOW + timedelta(days=1)
    world.allow(world.line("ben", f'valid-before="{ends:%Y%m%d%H%M}"'))
    tag = world.forge(key="ben", at=ends - timedelta(minutes=1))
    assert in_production(world) == "v1.1.0"
    git(world.root, "tag", "-d", tag)
    world.forge(key="ben", at=ends + timedelta(minutes=1))
    refused(world, "the key has expired")


def later(world: SignedWorld, what: str) -> None:
    """Let something happen on the sixth day that a tag of then comes after."""
    world.now = NOW + timedelta(days=6)
    if what == "registered":
        world.release("three")
    elif what == "decided":
        world.promote("v1.0.0", "staging")
    else:
        (world.root / "README.md").write_text("merged\n")
        world.commit("Something else")


@pytest.mark.parametrize("what", ["registered", "decided", "merged"])
def test_an_expired_key_does_not_hold_with_an_earlier_date(
    world: SignedWorld, what: str
) -> None:
    rotate(world)
    later(world, what)
    number = "v1.2.0" if what == "registered" else "v1.1.0"
    date = NOW + timedelta(days=2)
    world.forge(key="ben", number=number, at=date)
    refused(world, "the key has expired when it was really made")


def test_a_clock_that_is_slow_does_no_harm_while_the_key_is_valid(
    world: SignedWorld,
) -> None:
    (world.root / "README.md").write_text("merged\n")
    world.now += timedelta(days=1)
    world.commit("Something else")
    world.forge(key="ben", at=world.now - timedelta(hours=1))
    assert in_production(world) == "v1.1.0"


# -- Writing ---------------------------------------------------------------------------


def run(world: World, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Result:
    monkeypatch.chdir(world.root)
    result = CliRunner().invoke(app, arguments, prog_name="mlops")
    assert "defect of mlops" not in result.output, result.output
    return result


def test_promote_sign_knows_the_approver_by_the_key(
    world: SignedWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.sign_as("carl")
    production = f"{MODEL}@v1.1.0", "production"
    done = run(world, monkeypatch, "promote", *production, "--sign", "-m", "go")
    assert done.exit_code == 0, done.output
    assert in_production(world) == "v1.1.0"
    event = tags.read_registry(world.root).models[MODEL].events[-1]
    assert event.trailers["Approver"] == "@carl" and is_signed(world.root, event)


@pytest.mark.parametrize("key", ["mallory", "nobody", ""])
def test_promote_sign_refuses_a_key_that_is_no_approvers(
    world: SignedWorld, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    git(world.root, "config", "user.signingKey", str(world.keys.get(key, key)))
    done = run(world, monkeypatch, "promote", f"{MODEL}@v1.1.0", "production", "--sign")
    assert done.exit_code == 2
    assert "belongs to no approver" in done.output and "@carl" in done.output
    assert in_production(world) == "v1.0.0"


@pytest.mark.parametrize(
    "command",
    [
        ("promote", f"{MODEL}@v1.1.0", "production"),
        ("rollback", MODEL, "production"),
        ("reject", f"{MODEL}@v1.0.0", "production", "-m", "unfair"),
    ],
)
def test_without_a_signature_nothing_is_written_and_it_says_what_to_do(
    world: SignedWorld, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    before = git(world.root, "tag", "--list")
    done = run(world, monkeypatch, *command, "--approver", "@ben")
    assert done.exit_code == 1
    assert "the approvers of production have to sign" in done.output
    assert "--sign" in done.output and "allowed_signers" in done.output
    assert git(world.root, "tag", "--list") == before


def test_a_release_that_asks_says_how_to_approve(
    world: SignedWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = ("promote", f"{MODEL}@v1.1.0", "production", "--ask", "--approver", "@ben")
    done = run(world, monkeypatch, *ask)
    assert done.exit_code == 0, done.output
    assert f"mlops promote {MODEL}@v1.1.0 production --sign" in done.output
    assert in_production(world) == "v1.0.0"


@pytest.mark.parametrize(
    ("approver", "key", "words"),
    [
        ("@ben", "mallory", "not by a key that the file gives to this person"),
        ("@ben", "carl", "not by a key that the file gives to this person"),
    ],
)
def test_a_signature_that_would_not_hold_is_not_written(
    world: SignedWorld, approver: str, key: str, words: str
) -> None:
    before = git(world.root, "for-each-ref")
    with pytest.raises(Refused, match="would not count, and was not written") as caught:
        world.approve("v1.1.0", key, approver=approver)
    assert words in str(caught.value)
    assert git(world.root, "for-each-ref") == before


def test_without_a_key_to_sign_with_git_is_told_how(world: SignedWorld) -> None:
    git(world.root, "config", "--unset", "user.signingKey")
    with pytest.raises(EnvironmentFailure, match="which key to sign with") as caught:
        world.promote("v1.1.0", "production", approver="@ben", sign=True)
    assert "git config user.signingKey" in str(caught.value)


def test_the_author_cannot_sign_for_themselves(world: SignedWorld) -> None:
    with pytest.raises(Refused, match="nobody approves a version that they registered"):
        world.approve("v1.1.0", "ana")
    assert in_production(world) == "v1.0.0"


def test_signing_again_writes_nothing(world: SignedWorld) -> None:
    before = git(world.root, "for-each-ref")
    world.approve("v1.0.0")
    assert git(world.root, "for-each-ref") == before


# -- OpenSSH ---------------------------------------------------------------------------


def remembered(world: World) -> Path:
    """Return the file of what was verified before."""
    return world.root / ".git" / FILE


def program(folder: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """Put git and another ssh-keygen on PATH, and nothing else but sleep."""
    folder.mkdir()
    for name in ("git", "sleep", "sh"):
        found = shutil.which(name)
        assert found
        (folder / name).symlink_to(found)
    if text:
        (folder / "ssh-keygen").write_text(f"#!/bin/sh\n{text}\n")
        (folder / "ssh-keygen").chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    ssh.verification.cache_clear()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "ssh-keygen is not installed"),
        ("exec sleep 30", "gave no answer within 0.5 seconds"),
        ("echo unknown option >&2; exit 1", "not by a key"),
    ],
)
def test_what_cannot_be_verified_does_not_hold(
    world: SignedWorld,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    text: str,
    words: str,
) -> None:
    monkeypatch.setattr(ssh, "VERIFY_SECONDS", 0.5)
    path = os.environ["PATH"]
    remembered(world).unlink()
    program(tmp_path / "bin", monkeypatch, text)
    refused(world, words)
    if "echo" not in text:  # what was no answer is asked again
        monkeypatch.setenv("PATH", path)
        assert in_production(world) == "v1.0.0"


def test_a_signature_that_held_is_verified_once(
    world: SignedWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    def verify(*_: object) -> str:
        raise AssertionError("it was verified before")

    assert in_production(world) == "v1.0.0"
    ssh.verification.cache_clear()  # as in another process
    monkeypatch.setattr(ssh, "_run", verify)
    assert in_production(world) == "v1.0.0"
    remembered(world).write_bytes(b"\xff not a digest\n")
    with pytest.raises(AssertionError, match="verified before"):
        in_production(world)


def test_what_did_not_hold_is_asked_again_and_never_remembered(
    world: SignedWorld,
) -> None:
    before = remembered(world).read_text()
    world.forge(key="mallory")
    refused(world, "not by a key that the file gives to this person")
    assert remembered(world).read_text() == before
    # Mallory's key becomes Ben's. What it signed before that does not count for it.
    world.allow(world.line("ben", key="mallory"))
    refused(world, "not by a key that the file gives to this person")
    world.forge(key="mallory")
    assert in_production(world) == "v1.1.0"
    assert len(remembered(world).read_text()) > len(before)


def test_a_clone_that_can_only_be_read_verifies_every_time(
    world: SignedWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    remembered(world).unlink()
    remembered(world).parent.rmdir()
    remembered(world).parent.write_text("in the way")
    for _ in range(2):
        ssh.verification.cache_clear()
        assert in_production(world) == "v1.0.0"


# -- What takes something back ---------------------------------------------------------

TAKES_BACK = {
    "withdraw": (
        ("withdraw", f"{MODEL}@v1.2.0", "-m", "wrong labels"),
        "churn@v1.2.0!",
    ),
    "deprecate": (("deprecate", MODEL, "-m", "replaced"), "churn@deprecated"),
    "prune": (
        ("registry", "prune", MODEL, "--keep", "0", "--days", "0", "--yes"),
        "churn@v1.2.0!",
    ),
}


@pytest.mark.parametrize("kind", TAKES_BACK)
def test_what_takes_something_back_is_signed_by_the_approver(
    world: SignedWorld, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    command, tag = TAKES_BACK[kind]
    assert world.release("three") == "v1.2.0"
    world.sign_as("carl")
    done = run(world, monkeypatch, *command, "--sign")
    assert done.exit_code == 0, done.output
    model = tags.read_registry(world.root).models[MODEL]
    event = model.events[-1]
    assert event.tag == tag and event.trailers["Approver"] == "@carl"
    assert is_signed(world.root, event)
    assert unexplained(world.root, model) == {}
    assert model.deprecated is (kind == "deprecate")
    assert model.versions["v1.2.0"].active is (kind == "deprecate")
    stored = "v1.2.0" in world.store.list(MODEL)
    assert stored is (kind != "prune")
    assert in_production(world) == "v1.0.0"


@pytest.mark.parametrize("kind", TAKES_BACK)
@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (("--approver", "@ben"), 1, "the approvers of production have to sign"),
        (("--sign",), 2, "belongs to no approver"),
        (("--sign", "--approver", "@ben"), 1, "would not count, and was not written"),
        (("--sign", "--approver", "@mallory"), 1, "may not approve for production"),
    ],
)
def test_without_the_approvers_signature_nothing_is_taken_back(
    world: SignedWorld,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    options: tuple[str, ...],
    code: int,
    words: str,
) -> None:
    command, _ = TAKES_BACK[kind]
    world.release("three")
    before = git(world.root, "for-each-ref")
    world.sign_as("mallory")
    done = run(world, monkeypatch, *command, *options)
    assert (done.exit_code, words in done.output) == (code, True), done.output
    assert git(world.root, "for-each-ref") == before
    assert "v1.2.0" in world.store.list(MODEL)


@pytest.mark.parametrize("key", [None, "mallory"])
@pytest.mark.parametrize("tag", ["churn@v1.2.0!", "churn@deprecated"])
def test_what_a_token_takes_back_is_named(
    world: SignedWorld, key: str | None, tag: str
) -> None:
    world.release("three")
    world.forge(tag, number="v1.2.0", key=key)
    model = tags.read_registry(world.root).models[MODEL]
    assert list(unexplained(world.root, model)) == [tag]
    page = site(world.project, world.store, NOW).files["index.html"].decode()
    assert "(without approval)" in page
    assert any(tag in line for line in problems(world.project))


# -- Other repositories ----------------------------------------------------------------


def test_a_mirror_verifies_as_the_repository_does(
    world: SignedWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git(world.root, "config", "uploadpack.allowFilter", "true")
    git(world.root, "config", "uploadpack.allowAnySHA1InWant", "true")
    address = f"file://{world.root}"
    for _ in range(2):
        folder = mirror(address, "acme/demo", MODEL)
        state = tags.read_registry(folder)
        assert tags.resolve(state, f"{MODEL}@production").number == "v1.0.0"
    world.forge()
    mirror(address, "acme/demo", MODEL)
    with pytest.raises(Refused, match="not signed with an SSH key"):
        tags.resolve(tags.read_registry(folder), f"{MODEL}@production")


# -- project.yaml and its file ---------------------------------------------------------


def test_doctor_names_the_approvers_without_a_key(
    world: SignedWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    def check() -> str:
        done = run(world, monkeypatch, "doctor", "--json")
        rows = {row["check"]: row["found"] for row in json.loads(done.stdout)}
        found: str = rows["settings"]
        return found

    assert check() == ""
    world.allow(world.line("ben"), "* ssh-ed25519 AAAA\n", "# @carl ssh-ed25519 AAAA\n")
    assert check() == f"{SIGNERS} has no key of @carl, @ana"
    (world.root / SIGNERS).unlink()
    assert f"{SIGNERS} cannot be read" in check()


def test_a_file_that_is_gone_verifies_nothing(world: SignedWorld) -> None:
    (world.root / SIGNERS).unlink()
    world.commit("No signers")
    world.forge(key="ben")
    refused(world, f"{SIGNERS} is not in the commit that decides")


def test_a_pattern_is_no_person(world: SignedWorld) -> None:
    pattern = world.line("mallory").replace("@mallory", "*", 1)
    world.allow(world.line("ben"), pattern)
    world.forge(key="mallory")
    refused(world, "not by a key that the file gives to this person")


def test_an_approver_whom_the_versions_change_listed_does_not_sign_for_it(
    world: SignedWorld,
) -> None:
    own = '    approvers_of: {"churn": ["@carl", "@ana"]}\n'
    text = APPROVED + own + f"allowed_signers: {SIGNERS}\n"
    (world.root / "project.yaml").write_text(text)
    world.commit("Who approves churn")
    (world.root / "project.yaml").write_text(text.replace('"@carl"', '"@carl", "@ben"'))
    number = world.release("three")
    world.promote(number, "staging")
    with pytest.raises(Refused, match="somebody who was one before"):
        world.approve(number, "ben")
    tag = world.forge(number=number, key="ben")
    refused(world, "no approval by", "it names @ben")
    git(world.root, "update-ref", "-d", f"refs/tags/{tag}")
    world.approve(number, "carl")
    assert in_production(world) == number


def test_the_people_of_a_model_sign_for_it(world: SignedWorld) -> None:
    own = '    approvers_of: {"churn": ["@carl", "@ana"]}\n'
    text = APPROVED + own + f"allowed_signers: {SIGNERS}\n"
    (world.root / "project.yaml").write_text(text)
    world.commit("Who approves churn")
    with pytest.raises(Refused, match="may not approve churn for production"):
        world.approve("v1.1.0", "ben")
    tag = world.forge(key="ben")
    refused(world, "no approval by @ana, @carl", "it names @ben")
    git(world.root, "update-ref", "-d", f"refs/tags/{tag}")
    world.approve("v1.1.0", "carl")
    assert in_production(world) == "v1.1.0"
