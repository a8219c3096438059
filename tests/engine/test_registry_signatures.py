"""What is signed in a tag, and who is in a file of allowed signers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mlops.config.project import Project
from mlops.errors import UsageError
from mlops.io.ssh import public_key
from mlops.registry import tags
from mlops.registry.signatures import signer_lines, tag_content

from .registry_world import MODEL, PROJECT, World, world_fixture  # noqa: F401

SIGNERS = ".github/allowed_signers"

APPROVED = PROJECT + '    approvers: ["@ben", "@carl", "@ana"]\n'


@pytest.mark.parametrize(
    "path", ["../signers", "/etc/signers", "a/../../b", "a\\b", "'a\nb'", "."]
)
def test_allowed_signers_is_a_file_of_the_repository(tmp_path: Path, path: str) -> None:
    text = APPROVED + f"allowed_signers: {json.dumps(path)}\n"
    (tmp_path / "project.yaml").write_text(text)
    with pytest.raises(UsageError, match="path of a file in this repository") as caught:
        _ = Project(tmp_path).spec
    assert "allowed_signers" in str(caught.value)


def test_signatures_without_approvers_are_a_mistake(tmp_path: Path) -> None:
    (tmp_path / "project.yaml").write_text(f"{PROJECT}allowed_signers: {SIGNERS}\n")
    with pytest.raises(UsageError, match="no stage names approvers"):
        _ = Project(tmp_path).spec


def test_lines_of_allowed_signers_are_read_as_openssh_writes_them() -> None:
    content = (
        b"# @zoe ssh-ed25519 AAAA\n"
        b"\n"
        b"@ben,ben@acme.example ssh-ed25519 AAA1 a comment\n"
        b'@carl namespaces="git",valid-before="20270101" ssh-rsa AAA2\n'
        b'"@dora" cert-authority,namespaces="git, file" sk-ssh-ed25519@openssh.com A3\n'
        b"@eve\n"
    )
    lines = signer_lines(content)
    assert [(line.names, line.key) for line in lines] == [
        (("@ben", "ben@acme.example"), "ssh-ed25519 AAA1"),
        (("@carl",), "ssh-rsa AAA2"),
        (("@dora",), "sk-ssh-ed25519@openssh.com A3"),
    ]


def test_the_last_signature_of_a_tag_is_its_signature() -> None:
    armour = b"-----BEGIN SSH SIGNATURE-----\n"
    payload = b"object 12ab\ntype commit\ntag a\ntagger x <y> 7 +0000\n\nt\n"
    content = tag_content(payload + armour + b"first\n" + armour + b"second\n")
    assert content is not None
    assert content.payload == payload + armour + b"first\n"
    assert content.signature == armour + b"second\n"
    assert (content.tag, content.commit, content.time) == ("a", "12ab", 7)
    assert tag_content(payload.replace(b"type commit", b"type blob")) is None


def test_the_key_that_git_signs_with_is_found(tmp_path: Path) -> None:
    (tmp_path / "id.pub").write_text("ssh-ed25519 AAA1 ben@laptop\n")
    (tmp_path / "bad.pub").write_bytes(b"\xff\n")
    key = "ssh-ed25519 AAA1"
    assert public_key(str(tmp_path / "id")) == key
    assert public_key(str(tmp_path / "id.pub")) == key
    assert public_key(f"key::{key} ben@laptop") == key
    assert public_key(f"{key} ben@laptop") == key
    for nothing in ("", "key::", "ssh-ed25519", "ABCDEF12", str(tmp_path / "bad.pub")):
        assert public_key(nothing) == ""


def test_a_repository_without_allowed_signers_asks_for_no_signature(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    (world.root / "project.yaml").write_text(APPROVED)
    world.commit("Approvers")
    world.promote(world.release("one"), "staging")
    world.promote("v1.0.0", "production", approver="@ben")
    monkeypatch.setattr("mlops.io.ssh.signature_problem", None)
    version = tags.resolve(tags.read_registry(world.root), f"{MODEL}@production")
    assert version.number == "v1.0.0"
