"""GitHub Releases as a release store."""

from __future__ import annotations

import builtins
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops import settings
from mlops.errors import EnvironmentFailure, Refused
from mlops.github.client import ATTEMPTS, ask, pause, require_present_name
from mlops.io.digests import sha256_file
from mlops.storage.protocol import RELEASE_NAME, Listing

if TYPE_CHECKING:
    from github.GitRelease import GitRelease
    from github.GitReleaseAsset import GitReleaseAsset
    from github.Repository import Repository
    from requests import Response


LIMIT = 2**31  # bytes of an asset

# Drafts are looked for among so many of the newest releases, by three requests. One
# that is older was left by a process that died, and is made anew.
_NEWEST = 300

# A list of releases brings the assets of each; of one with more, they are asked for.
_ASSETS_LISTED = 30

_NO_REST = 416  # the range that was asked for begins at the end


class GitHubStore:
    """A `ReleaseStore`: a release hangs on the tag of its version, ``MODEL@v1.2.0``.

    A draft names a tag that nobody pushes, ``MODEL@draft-DIGEST``; only who may push
    sees it. GitHub lists a release some time after it was made, so what was made or
    found is remembered. Assets go up and down in pieces, so that memory does not grow
    with the model.

    A repository may ask GitHub a thousand times an hour, and may have ten thousand
    releases. So a version is asked for by its tag, which takes one request with the
    digests of all its assets, and a list is read once.
    """

    far = True

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self._held: dict[str, dict[str, GitReleaseAsset]] = {}  # by tag and name
        self._drafts: dict[str, GitRelease] = {}  # by tag
        self._looked: set[str] = set()  # models whose drafts are all remembered
        self._published: tuple[set[str], bool] | None = None  # tags, and if all

    def __str__(self) -> str:
        return f"the releases of {self._repository.full_name}"

    def draft(self, model: str, digest: str) -> None:
        """Create a draft release."""
        require_present_name(self._repository)
        tag = f"{model}@draft-{digest}"
        create = self._repository.create_git_release

        def act() -> GitRelease:
            remembered = model in self._looked and tag not in self._drafts
            self._looked.discard(model)  # the answer to a creation may get lost
            drafts = [] if remembered else self._find(tag)
            if drafts:
                self._held.pop(tag, None)
                return drafts[0]
            created = create(tag, tag, digest, draft=True)
            self._held[tag] = {}
            return created

        self._drafts[tag] = ask(f"draft {tag}", act)

    def upload(self, model: str, digest: str, asset: str, source: Path) -> None:
        """Upload a file, unless the draft holds the same bytes already."""
        if source.stat().st_size >= LIMIT:
            raise Refused(
                "GitHub does not accept files of 2 GiB or more", file=str(source)
            )
        tag = f"{model}@draft-{digest}"
        wanted = ("uploaded", f"sha256:{sha256_file(source)}")

        def act() -> None:
            release = self._draft(tag, asset)
            # Forgotten until this has an answer. Nobody else fills a draft: what it did
            # not hold, it does not hold now. What it held may have been damaged.
            held = self._held.pop(tag, None)
            if held is None or asset in held:
                held = {present.name: present for present in release.get_assets()}
            present = held.get(asset)
            if present is not None and (present.state, present.digest) != wanted:
                present.delete_asset()
                present = None
            if present is None:
                kind = "application/octet-stream"
                held[asset] = release.upload_asset(
                    str(source), name=asset, content_type=kind
                )
            self._held[tag] = held

        ask(f"upload {asset} to {tag}", act)

    def publish(self, model: str, digest: str, version: str) -> None:
        """Publish the draft under the version's tag, which is there already."""
        tag = f"{model}@{version}"
        draft = f"{model}@draft-{digest}"

        def act() -> None:
            published = self._find(tag)
            if published:  # by an attempt whose answer got lost, or by others
                self._delete(draft, but=published[0].id)
                return
            text = f"Fetch and verify it: `mlops pull {tag}`\n\nManifest: `{digest}`"
            release = self._draft(draft, "a draft")
            release.update_release(tag, text, draft=False, tag_name=tag)

        ask(f"publish {tag}", act)
        self._forget(draft)
        if self._published is not None:
            self._published[0].add(tag)

    def discard(self, model: str, digest: str) -> None:
        """Delete the draft."""
        self.remove(model, f"draft-{digest}")

    def remove(self, model: str, release: str) -> None:
        """Delete a release; its tag stays."""
        require_present_name(self._repository)
        tag = f"{model}@{release}"
        ask(f"delete {tag}", lambda: self._delete(tag))
        self._forget(tag)
        if self._published is not None:
            self._published[0].discard(tag)

    def read(
        self, model: str, release: str, asset: str, start: int = 0
    ) -> Iterator[bytes]:
        """Download an asset; where the answer breaks off, ask for the rest."""
        from requests import RequestException

        tag = f"{model}@{release}"
        url = self._look(tag, asset).url
        position = start
        breaks = 0
        while True:
            get = partial(self._get, url, position)
            response = ask(f"download {asset} of {tag}", get)
            try:
                for piece in _rest(response, position):
                    position += len(piece)
                    breaks = 0
                    yield piece
                return
            except RequestException as error:
                breaks += 1
                if breaks == ATTEMPTS:
                    raise EnvironmentFailure(
                        f"the download of {asset} of {tag} keeps breaking off",
                        found=str(error)[:300],
                        do="run it again: the download is resumed",
                    ) from error

    def digest(self, model: str, release: str, asset: str) -> str | None:
        """Return what GitHub reckoned when the asset was uploaded."""
        stated = self._look(f"{model}@{release}", asset).digest or ""
        method, _, digest = stated.partition(":")
        return digest if method == "sha256" else None

    def holds(self, model: str, version: str) -> bool:
        """Return whether a version is published here; it is asked for by its tag."""
        tag = f"{model}@{version}"
        return bool(ask(f"look for {tag}", lambda: self._find(tag)))

    def list(self, model: str, versions: Iterable[str] = ()) -> builtins.list[str]:
        """Return all releases of a model; drafts only where the token may push.

        GitHub lists the newest thousand: of `versions`, those beyond are asked for one
        by one.
        """
        tags, whole = self._list()
        start = f"{model}@"
        names = {tag.removeprefix(start) for tag in tags if tag.startswith(start)}
        names |= {f"draft-{digest}" for digest in self.drafts(model)}
        if not whole:
            unseen = [version for version in versions if version not in names]
            names.update(one for one in unseen if self.holds(model, one))
        return sorted(name for name in names if RELEASE_NAME.fullmatch(name))

    def drafts(self, model: str) -> builtins.list[str]:
        """Return the digests of the drafts among the newest releases.

        They are remembered. Only who may push sees any.
        """
        start = f"{model}@draft-"
        if model not in self._looked:
            for draft in ask("list drafts", self._newest_drafts):
                if draft.tag_name.startswith(start):
                    self._drafts.setdefault(draft.tag_name, draft)
            self._looked.add(model)
        tags = [tag for tag in self._drafts if tag.startswith(start)]
        return sorted(tag.removeprefix(start) for tag in tags)

    def listing(self) -> Listing:
        """Return the newest thousand releases, by ten requests."""
        tags, whole = self._list()
        return Listing(frozenset(tags), whole)

    def _list(self) -> tuple[set[str], bool]:
        """Return the tags of published releases, and whether these are all; once."""
        if self._published is None:
            releases, whole = ask("list releases", self._listed)
            published = [release for release in releases if not release.draft]
            for release in published:
                if len(release.assets) < _ASSETS_LISTED:
                    held = {asset.name: asset for asset in release.assets}
                    self._held.setdefault(release.tag_name, held)
            self._published = {release.tag_name for release in published}, whole
        return self._published

    def _listed(
        self, most: int | None = None
    ) -> tuple[builtins.list[GitRelease], bool]:
        """Return the newest releases, and whether GitHub listed all that were wanted.

        After the newest thousand it answers 422, to a page that it named itself.
        """
        from github import GithubException

        found: builtins.list[GitRelease] = []
        try:
            for release in islice(self._repository.get_releases(), most):
                found.append(release)
        except GithubException as error:
            if error.status != 422 or not found:
                raise
            return found, False
        return found, True

    def _newest_drafts(self) -> builtins.list[GitRelease]:
        """Return the drafts among the newest releases."""
        newest, _ = self._listed(_NEWEST)
        return [release for release in newest if release.draft]

    def _look(self, tag: str, asset: str) -> GitReleaseAsset:
        """Return what GitHub says of an asset; one question for all of a release."""

        def act() -> dict[str, GitReleaseAsset]:
            held: dict[str, GitReleaseAsset] = {}
            for release in self._find(tag):
                came_along = not release.draft and len(release.assets) < _ASSETS_LISTED
                assets = release.assets if came_along else release.get_assets()
                held |= {asset.name: asset for asset in assets}
            return held

        if asset not in self._held.get(tag, {}):
            self._held[tag] = ask(f"look into {tag}", act)
        if asset not in self._held[tag]:
            raise self._missing(tag, asset)
        return self._held[tag][asset]

    def _draft(self, tag: str, asset: str) -> GitRelease:
        """Return a draft; what is not listed may only not be listed yet."""
        import tenacity

        def attempt() -> GitRelease | None:
            drafts = self._find(tag)
            return drafts[0] if drafts else None

        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_result(lambda draft: draft is None),
            stop=tenacity.stop_after_attempt(ATTEMPTS),
            wait=lambda state: pause(state.attempt_number),
        )
        try:
            draft = retrying(attempt)
        except tenacity.RetryError as error:
            raise self._missing(tag, asset) from error
        assert draft is not None
        self._drafts[tag] = draft
        return draft

    def _delete(self, tag: str, but: int = 0) -> None:
        """Delete the releases of a tag but one; what is gone may still be listed."""
        from github import UnknownObjectException

        for release in self._find(tag):
            with suppress(UnknownObjectException):
                if release.id != but:
                    release.delete_release()

    def _forget(self, tag: str) -> None:
        self._held.pop(tag, None)
        self._drafts.pop(tag, None)

    def _find(self, tag: str) -> builtins.list[GitRelease]:
        """Return the releases of a tag.

        One or none, or twins where a creation was repeated.
        """
        from github import UnknownObjectException

        if tag in self._drafts:
            return [self._drafts[tag]]
        if "@draft-" in tag:  # GitHub finds only what is published by its tag
            return [r for r in self._newest_drafts() if r.tag_name == tag]
        try:
            return [self._repository.get_release(tag)]
        except UnknownObjectException:
            return []

    def _missing(self, tag: str, asset: str) -> Refused:
        """Return the error for a file that no release holds."""
        return Refused(
            "the release store does not hold this file",
            file=str(self),
            found=f"{tag} {asset}",
            do="look at the releases on GitHub; those of a private repository take "
            "GITHUB_TOKEN, "
            "or `gh auth login`; where it is gone, register the version again",
        )

    def _get(self, url: str, start: int) -> Response:
        """Return the answer to a download.

        Requests keeps the token from hosts it is sent on to.
        """
        import requests

        auth: Any = self._repository.requester.auth
        headers = {"Accept": "application/octet-stream", "Accept-Encoding": "identity"}
        if auth:
            headers["Authorization"] = f"Bearer {auth.token}"
        if start:
            headers["Range"] = f"bytes={start}-"
        response = requests.get(
            url, headers=headers, stream=True, timeout=settings.current().http_timeout
        )
        if response.status_code != _NO_REST:
            response.raise_for_status()
        return response


def _rest(response: Response, position: int) -> Iterator[bytes]:
    """Yield what an answer holds from a position on.

    Whether it is all, the digest says.
    """
    with response:
        if response.status_code == _NO_REST:
            return
        # A host that takes no range sends all of it again.
        skip = position if response.status_code == 200 else 0
        for piece in response.iter_content(1 << 20):
            rest = piece[skip:]
            skip = max(skip - len(piece), 0)
            if rest:
                yield rest
