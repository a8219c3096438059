"""GitHub Releases as a release store: draft, upload, publish under the version's tag."""

from __future__ import annotations

import builtins
import re
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from mlops.errors import Refused
from mlops.files import sha256_file
from mlops.github.client import TIMEOUT, ask
from mlops.registry.store import ReleaseStore

if TYPE_CHECKING:
    from github.GitRelease import GitRelease
    from github.Repository import Repository

_RELEASE = re.compile(r"v\d+\.\d+\.\d+|draft-[0-9a-f]{64}")


class GitHubStore(ReleaseStore):
    """A release hangs on the tag of its version, ``MODEL@v1.2.0``.

    A draft names a tag that nobody pushes, ``MODEL@draft-DIGEST``; only who may push sees it.
    Assets go up and down in pieces, so that memory does not grow with the model.
    """

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self._urls: dict[str, dict[str, str]] = {}  # by tag and asset

    def __str__(self) -> str:
        return f"the releases of {self._repository.full_name}"

    def draft(self, model: str, digest: str) -> None:
        """Create a draft release."""
        tag = f"{model}@draft-{digest}"
        create = self._repository.create_git_release
        ask(f"draft {tag}", lambda: self._find(tag) or create(tag, tag, digest, draft=True))

    def upload(self, model: str, digest: str, asset: str, source: Path) -> None:
        """Upload a file, unless the draft holds the same bytes under this name already."""
        tag = f"{model}@draft-{digest}"
        wanted = ("uploaded", f"sha256:{sha256_file(source)}")

        def act() -> str:
            release = next(iter(self._find(tag)), None)
            if release is None:
                raise self._missing(tag, asset)
            for there in release.get_assets():
                if there.name == asset:
                    if (there.state, there.digest) == wanted:
                        return there.url
                    there.delete_asset()
            kind = "application/octet-stream"
            return release.upload_asset(str(source), name=asset, content_type=kind).url

        self._urls.setdefault(tag, {})[asset] = ask(f"upload {asset} to {tag}", act)

    def publish(self, model: str, digest: str, version: str) -> None:
        """Publish the draft under the version's tag, which is there already."""
        tag, draft = f"{model}@{version}", f"{model}@draft-{digest}"

        def act() -> None:
            drafts = self._find(draft)
            if not drafts and not self._find(tag):
                raise self._missing(tag, "a draft")
            for twin in drafts[1:]:  # of a creation whose answer got lost
                twin.delete_release()
            for release in drafts[:1]:
                text = f"Fetch and verify it: `mlops pull {tag}`\n\nManifest: `{digest}`"
                release.update_release(tag, text, draft=False, tag_name=tag)

        ask(f"publish {tag}", act)
        self._urls.pop(draft, None)

    def discard(self, model: str, digest: str) -> None:
        """Delete the draft."""
        self.remove(model, f"draft-{digest}")

    def remove(self, model: str, release: str) -> None:
        """Delete a release; its tag stays."""
        tag = f"{model}@{release}"

        def act() -> None:
            for found in self._find(tag):
                found.delete_release()

        ask(f"delete {tag}", act)
        self._urls.pop(tag, None)

    def open(self, model: str, release: str, asset: str) -> BinaryIO:
        """Download an asset into a temporary file, and open that."""
        tag = f"{model}@{release}"

        def look() -> dict[str, str]:
            return {a.name: a.url for found in self._find(tag) for a in found.get_assets()}

        if asset not in self._urls.get(tag, {}):
            self._urls[tag] = ask(f"look into {tag}", look)
        if asset not in self._urls[tag]:
            raise self._missing(tag, asset)
        return ask(f"download {asset} of {tag}", lambda: self._download(self._urls[tag][asset]))

    def list(self, model: str) -> builtins.list[str]:
        """Return all releases of a model; drafts only where the token may push."""
        tags = ask("list releases", lambda: [r.tag_name for r in self._repository.get_releases()])
        names = {tag.removeprefix(f"{model}@") for tag in tags if tag.startswith(f"{model}@")}
        return sorted(name for name in names if _RELEASE.fullmatch(name))

    def _find(self, tag: str) -> builtins.list[GitRelease]:
        """Return the releases of a tag: one or none, or twins where a creation was repeated."""
        from github import UnknownObjectException

        if "@draft-" in tag:  # GitHub finds only what is published by its tag
            return [r for r in self._repository.get_releases() if r.draft and r.tag_name == tag]
        try:
            return [self._repository.get_release(tag)]
        except UnknownObjectException:
            return []

    def _missing(self, tag: str, asset: str) -> Refused:
        what = "the release store does not hold this file"
        do = "look at the releases on GitHub; register the version again where it is gone"
        return Refused(what, file=str(self), found=f"{tag} {asset}", do=do)

    def _download(self, url: str) -> BinaryIO:
        """Return a file of the content; requests keeps the token from hosts it is sent on to."""
        import requests

        auth: Any = self._repository.requester.auth
        headers = {"Authorization": f"Bearer {auth.token}"} if auth else {}
        headers["Accept"] = "application/octet-stream"
        file = cast(BinaryIO, TemporaryFile())  # noqa: SIM115
        with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as answer:
            answer.raise_for_status()
            for piece in answer.iter_content(1 << 20):
                file.write(piece)
        file.seek(0)
        return file
