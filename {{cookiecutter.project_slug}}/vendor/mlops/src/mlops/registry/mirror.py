"""Another repository's registry, fetched into the cache."""

from __future__ import annotations

from pathlib import Path

from mlops.errors import EnvironmentFailure, Refused, UsageError, did_you_mean, listed
from mlops.io.digests import sha256
from mlops.io.git import git, git_remote
from mlops.registry.branch import MIRRORED, read_policies
from mlops.registry.tag_writes import at_origin, sync
from mlops.registry.tags import parse, read_registry
from mlops.storage.cache import cache_root, file_lock
from mlops.storage.protocol import log

# Of each version the commit, its trees and small files: the manifest is there, data and
# models not.
_SMALL = "--filter=blob:limit=1m"
_SHALLOW = ("--depth=1", _SMALL)


def mirror(address: str, shown: str, model: str) -> Path:
    """Return a repository that has what another one's tags say of a model.

    Nothing is checked out. Where the other one cannot be reached, what is here already
    has to do.

    Parameters
    ----------
    address : str
        Where git finds it.
    shown : str
        How errors name it.

    Raises
    ------
    EnvironmentFailure
        When it cannot be read.
    Refused
        When it holds another tag under a name that was known here.
    UsageError
        When it has no such model.
    """
    folder = cache_root() / "git" / sha256(address.encode())[:16]
    with file_lock(folder):
        git(folder, "init", "--quiet", "--template=")
        git(folder, "config", "remote.origin.url", address)
        try:
            _require_model(folder, shown, model)
            sync(folder, *_SHALLOW, only=(f"{model}@*", f"{model}#*"))
            _fetch_branch(folder)
        except Refused as error:
            raise Refused(
                f"{shown} has moved tags that were known here",
                found=error.problems[0].found,
                do="ask its owner who moved them; "
                f"only when that was intended, remove {folder}",
            ) from error
        except EnvironmentFailure as error:
            problem = error.problems[0].what
            if model not in read_registry(folder).models:
                raise EnvironmentFailure(
                    f"the tags of {shown} cannot be read",
                    found=problem,
                    do="check the name; a private repository needs the GITHUB_TOKEN "
                    "of somebody who can read it",
                ) from error
            log.warning(
                "working with the tags of %s that are cached: %s", shown, problem
            )
    return folder


def _fetch_branch(folder: Path) -> None:
    """Fetch origin's default branch, which says who approves.

    Where approvals have to be signed, all of its commits are needed: they say which
    keys counted when.
    """
    branch = f"+HEAD:{MIRRORED}"
    git_remote(folder, "fetch", "--no-tags", *_SHALLOW, "origin", branch)
    policy = read_policies(folder, [MIRRORED])[MIRRORED]
    if policy is None or not policy.signers:
        return
    shallow = git(folder, "rev-parse", "--is-shallow-repository") == "true"
    whole = ["--unshallow"] if shallow else []
    git_remote(folder, "fetch", "--no-tags", *whole, _SMALL, "origin", branch)


def _require_model(folder: Path, shown: str, model: str) -> None:
    """Raise UsageError unless a version of the model is registered at origin."""
    refs = at_origin(folder, ["refs/tags/*"])
    events = [parse(ref.removeprefix("refs/tags/")) for ref in refs]
    models = {event.model for event in events if event and event.kind == "register"}
    if model not in models:
        raise UsageError(
            "no version of this model is registered there",
            file=shown,
            found=model,
            allowed=listed(sorted(models)) or "none",
            do=did_you_mean(model, models),
        )
