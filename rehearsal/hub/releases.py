"""Releases of the hub and their assets, immutable ones included."""

from __future__ import annotations

import hashlib
import re

from rehearsal.hub.call import (
    Answer,
    Call,
    Failure,
    Page,
    invalid,
    known,
    newest_first,
    on,
    page_number,
    page_size,
)
from rehearsal.hub.git import ZERO, GitError, Update
from rehearsal.hub.permissions import LEVELS
from rehearsal.hub.state import Record

MOST_ASSETS = 1000
MOST_LISTED = 1000
_FIELDS = ("tag_name", "target_commitish", "name", "body", "draft", "prerelease")


@on("GET /releases")
def list_releases(call: Call) -> Page:
    """List releases; drafts for those who may write.

    The list ends after the newest thousand, though its links lead on.
    """
    first = (page_number(call) - 1) * page_size(call)
    if first >= MOST_LISTED:
        raise Failure(422, f"Only the first {MOST_LISTED} results are available.")
    return Page(newest_first(_visible(call)), show=call.view.releases)


@on("POST /releases")
def create_release(call: Call) -> Answer:
    """Make a release, or a draft of one. A draft makes no tag."""
    record = call.state.stamped(
        {
            "target_commitish": "main",
            "name": None,
            "body": None,
            "draft": False,
            "prerelease": False,
            "author": call.caller.login,
            "published_at": None,
            "immutable": False,
            **call.given(*_FIELDS),
        }
    )
    draft = record["draft"]
    record["draft"] = True
    if not draft:
        _publish(call, record)
    call.state.releases[record["id"]] = record
    _happened(call, "created", record)
    if not draft:
        _happened(call, "published", record)
    shown = call.view.release(record)
    return Answer(shown, headers={"Location": shown["url"]})


@on("GET /releases/latest")
def latest_release(call: Call) -> Record:
    """Return the newest release that is neither draft nor prerelease."""
    found = [
        r
        for r in call.state.releases.values()
        if not r["draft"] and not r["prerelease"]
    ]
    newest = sorted(found, key=lambda r: (r["published_at"], r["id"]))
    return call.view.release(known(newest[-1] if newest else None))


@on("GET /releases/tags/{tag}")
def release_by_tag(call: Call) -> Record:
    """Return a release by its tag; a draft has none."""
    return call.view.release(known(by_tag(call, call.path["tag"])))


@on("GET /releases/{release_id}")
def get_release(call: Call) -> Record:
    """Return a release."""
    return call.view.release(_release(call))


@on("PATCH /releases/{release_id}")
def edit_release(call: Call) -> Record:
    """Change or publish a release."""
    record = _release(call)
    changes = call.given(*_FIELDS)
    if record["immutable"] and {"tag_name", "target_commitish", "draft"} & {
        k for k, v in changes.items() if v != record[k]
    }:
        raise Failure(422, "Cannot change an immutable release.")
    publishes = record["draft"] and changes.pop("draft", True) is False
    changes.pop("draft", None)
    if publishes:
        _publish(call, {**record, **changes})
        changes.update(draft=False, published_at=call.state.now())
        changes.update(immutable=call.state.immutable_releases)
    if call.state.touch(record, **changes):
        _happened(call, "published" if publishes else "edited", record)
    return call.view.release(record)


@on("DELETE /releases/{release_id}")
def delete_release(call: Call) -> None:
    """Remove a release with its assets; its tag stays."""
    record = _release(call)
    for asset in call.state.assets_of(record["id"]):
        del call.state.assets[asset["id"]]
    del call.state.releases[record["id"]]
    call.happened(
        "release", {"action": "deleted", "release": {"tag_name": record["tag_name"]}}
    )


@on("GET /releases/{release_id}/assets")
def list_assets(call: Call) -> Page:
    """List the assets of a release."""
    return Page(
        [call.view.asset(a) for a in call.state.assets_of(_release(call)["id"])]
    )


@on("POST /releases/{release_id}/assets")
def upload_asset(call: Call) -> Answer:
    """Take a file. GitHub rewrites special characters in names; no file is empty."""
    release = _release(call)
    if release["immutable"]:
        raise Failure(422, "Cannot upload assets to an immutable release.")
    if not call.content:
        raise Failure(400, "Bad Content-Length: 0")
    name = re.sub(r"[^A-Za-z0-9._@+-]", ".", call.asked("name")).strip(".")
    assets = call.state.assets_of(release["id"])
    if any(asset["name"] == name for asset in assets):
        raise invalid("ReleaseAsset", "name", "already_exists")
    if len(assets) >= MOST_ASSETS:
        raise invalid(
            "ReleaseAsset",
            "base",
            "custom",
            "file count limited to 1000 assets per release",
        )
    asset = call.state.stamped(
        {
            "release": release["id"],
            "name": name,
            "label": call.asked("label") or None,
            "state": "uploaded",
            "content_type": call.headers.get(
                "Content-Type", "application/octet-stream"
            ),
            "size": len(call.content),
            "digest": f"sha256:{hashlib.sha256(call.content).hexdigest()}",
            "download_count": 0,
            "uploader": call.caller.login,
        }
    )
    asset["path"] = call.hub.storage.keep(f"asset-{asset['id']}", call.content)
    call.state.assets[asset["id"]] = asset
    return Answer(call.view.asset(asset))


@on("GET /releases/assets/{asset_id}")
def get_asset(call: Call) -> Record | Answer:
    """Return an asset, or (Accept: application/octet-stream) where its bytes are."""
    asset = _asset(call)
    accepted = call.headers.get("Accept", "").split(",")
    if "application/octet-stream" not in [one.strip() for one in accepted]:
        return call.view.asset(asset)
    asset["download_count"] += 1
    return Answer(
        status=302, headers={"Location": call.hub.storage.signed(asset["path"])}
    )


@on("PATCH /releases/assets/{asset_id}")
def edit_asset(call: Call) -> Record:
    """Rename an asset."""
    asset = _mutable(call)
    call.state.touch(asset, **call.given("name", "label", "state"))
    return call.view.asset(asset)


@on("DELETE /releases/assets/{asset_id}")
def delete_asset(call: Call) -> None:
    """Remove an asset."""
    del call.state.assets[_mutable(call)["id"]]


def by_tag(call: Call, tag: str) -> Record | None:
    """Return the published release of a tag."""
    releases = call.state.releases.values()
    return next((r for r in releases if r["tag_name"] == tag and not r["draft"]), None)


def _publish(call: Call, record: Record) -> None:
    """Make a draft public: its tag comes into being unless it is there."""
    tag, ref = record["tag_name"], f"refs/tags/{record['tag_name']}"
    if by_tag(call, tag):
        raise invalid("Release", "tag_name", "already_exists")
    if tag in call.state.burnt_tags:
        raise invalid(
            "Release", "tag_name", "custom", "tag_name was used by an immutable release"
        )
    if call.git.resolve(ref) is None:
        target = call.git.resolve(record["target_commitish"])
        if target is None:
            raise invalid("Release", "target_commitish", "invalid")
        try:
            call.git.run("check-ref-format", ref)
        except GitError:
            raise invalid("Release", "tag_name", "invalid") from None
        call.git.update(ref, target, ZERO)
        call.hub.pushed(call.hub.owner, [Update(ref, ZERO, target)], call.caller)
    record.update(draft=False, published_at=call.state.now())
    record["immutable"] = call.state.immutable_releases
    if record["immutable"]:
        call.state.burnt_tags.add(tag)


def _visible(call: Call) -> list[Record]:
    writes = LEVELS[call.caller.permissions.get("contents", "none")] == LEVELS["write"]
    return [r for r in call.state.releases.values() if writes or not r["draft"]]


def _release(call: Call) -> Record:
    number = call.number("release_id")
    return known(next((r for r in _visible(call) if r["id"] == number), None))


def _asset(call: Call) -> Record:
    asset = known(call.state.assets.get(call.number("asset_id")))
    known(next((r for r in _visible(call) if r["id"] == asset["release"]), None))
    return asset


def _mutable(call: Call) -> Record:
    asset = _asset(call)
    if call.state.releases[asset["release"]]["immutable"]:
        raise Failure(422, "Cannot change the assets of an immutable release.")
    return asset


def _happened(call: Call, action: str, record: Record) -> None:
    ref = f"refs/tags/{record['tag_name']}"
    shown = {"action": action, "release": call.view.release(record)}
    call.happened("release", shown, ref=ref, sha=call.git.resolve(ref) or "")
