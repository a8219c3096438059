"""Another repository's registry, fetched into the cache."""

from __future__ import annotations

from pathlib import Path

from mlops.errors import EnvironmentFailure, Refused, UsageError, did_you_mean, listed
from mlops.io.digests import sha256
from mlops.io.git import git
from mlops.registry.tag_writes import sync
from mlops.registry.tags import parse, read
from mlops.storage.cache import cache_root, file_lock
from mlops.storage.protocol import log

# -- the tags of another repository ---------------------------------------------------------------

# Of each version the commit, its trees and small files: the manifest is there, data and models not.
_LITTLE = ("--depth=1", "--filter=blob:limit=1m")


def mirror(address: str, shown: str, model: str) -> Path:
    """Return a repository that has what another one's tags say of a model.

    Nothing is checked out. Where the other one cannot be reached, what is here already has to do.

    Parameters
    ----------
    address : str
        Where git finds it.
    shown : str
        How errors name it.

    Raises
    ------
    WorldError
        When it cannot be read.
    Refused
        When it holds another tag under a name that was known here.
    UsageError
        When it has no such model.
    """
    folder = cache_root() / "git" / sha256(address.encode())[:16]
    with file_lock(folder):
        git(folder, "init", "--quiet")
        git(folder, "config", "remote.origin.url", address)
        try:
            lines = git(folder, "ls-remote", "--tags", "--refs", "origin").split("\n")
            events = [parse(line.rpartition("refs/tags/")[2]) for line in lines]
            models = sorted(
                {event.model for event in events if event and event.kind == "register"}
            )
            if model not in models:
                what, allowed = (
                    "no version of this model is registered there",
                    listed(models),
                )
                do = did_you_mean(model, models)
                raise UsageError(
                    what, file=shown, found=model, allowed=allowed or "none", do=do
                )
            sync(folder, *_LITTLE, only=(f"{model}@*", f"{model}#*"))
        except Refused as error:
            what, do = (
                f"{shown} moved tags that were known here",
                "ask its owner who moved them; ",
            )
            do += f"only where that is well, remove {folder}"
            raise Refused(what, found=error.problems[0].found, do=do) from error
        except EnvironmentFailure as error:
            if model not in read(folder).models:
                what = f"the tags of {shown} cannot be read"
                do = "look at the name; a private one needs GITHUB_TOKEN, of somebody who may read"
                raise EnvironmentFailure(
                    what, found=str(error.problems[0].what), do=do
                ) from error
            why = error.problems[0].what
            log.warning("working with the tags of %s that are cached: %s", shown, why)
    return folder
