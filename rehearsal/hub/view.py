"""Records as GitHub shows them: the description's example under what is known."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from rehearsal.hub.description import description, overlay
from rehearsal.hub.state import Record, State

_REPOSITORIES = (
    "octocat/Hello-World",
    "octocat/example",
    "github/hello-world",
    "github/developer.github.com",
    "octo-org/octo-repo",
    "octo-org/octo-docs",
    "monalisa/my-repo",
)


def _mergeable_state(pull: Record) -> str:
    if pull["merged_at"] is not None:
        return "unknown"
    return "clean" if pull["merge"] else "dirty"


class View:
    """What a client sees.

    Parameters
    ----------
    state : State
    repository : str
        ``OWNER/NAME``.
    api, server, uploads : str
        Addresses.
    count : callable
        Number of files and commits between two commits.
    """

    def __init__(
        self,
        state: State,
        repository: str,
        api: str,
        server: str,
        uploads: str,
        count: Callable[[str, str], tuple[int, int]],
    ) -> None:
        self.state = state
        self.repository_name = repository
        self.server = server
        self.api = f"{api}/repos/{repository}"
        self.html = f"{server}/{repository}"
        self._count = count
        self._replaced = [(name, repository) for name in _REPOSITORIES] + [
            ("https://api.github.com", api),
            ("https://uploads.github.com", uploads),
            ("https://github.com", server),
        ]

    def of(self, example: str, over: Record, **numbers: object) -> Record:
        """Return an example with a record laid over it.

        ``numbers``: ``_1347="7"`` writes 7 for 1347 wherever an address ends or goes on
        with it.
        """
        text = json.dumps(description().example(example))
        for old, new in self._replaced:
            text = text.replace(old, new)
        for old, number in numbers.items():
            for end in ('"', "/", "{", "#"):
                text = text.replace(f"/{old[1:]}{end}", f"/{number}{end}")
        return dict(overlay(json.loads(text), over))

    def user(self, login: str) -> Record:
        """Return an account; its id is made of its name."""
        simple = description().example("issue")["user"]
        text = json.dumps(simple).replace("https://github.com", self.server)
        bot = login.endswith("[bot]")
        return {
            **json.loads(text.replace("octocat", login)),
            "id": zlib.crc32(login.encode()),
            "type": "Bot" if bot else "User",
        }

    def _owner(self, login: str) -> Record:
        """Return the account that owns the repository, or a fork."""
        organization = self.state.of_organization
        is_one = organization and login == self.repository_name.split("/")[0]
        kind = {"type": "Organization"} if is_one else {}
        return {**self.user(login), **kind}

    def repository(self, owner: str | None = None) -> Record:
        """Return the repository, or a fork of it."""
        name = self.repository_name.split("/")[1]
        full = f"{owner}/{name}" if owner else self.repository_name
        shown = {
            "id": zlib.crc32(full.encode()),
            "name": name,
            "full_name": full,
            "owner": self._owner(full.split("/")[0]),
            "private": self.state.private,
            "visibility": "private" if self.state.private else "public",
            "default_branch": "main",
            "fork": owner is not None,
            "has_discussions": False,
            "has_pages": self.state.pages is not None,
            "allow_rebase_merge": False,
            "allow_merge_commit": True,
            "allow_squash_merge": True,
            "clone_url": f"{self.server}/{full}.git",
            "topics": [],
            **self.state.repository,
        }
        seen = self.of("full-repository", shown)
        return dict(json.loads(json.dumps(seen).replace(self.repository_name, full)))

    def label(self, name: str) -> Record:
        """Return a label."""
        known = self.state.labels.get(
            name, {"color": "ededed", "description": None, "id": 0}
        )
        over = {
            **known,
            "name": name,
            "default": False,
            "url": f"{self.api}/labels/{quote(name)}",
        }
        return self.of("label", over)

    def _thread(self, record: Record) -> Record:
        closed = record["state"] == "closed"
        return {
            **{k: v for k, v in record.items() if k not in ("head", "base", "merge")},
            "user": self.user(record["user"]),
            "labels": [self.label(name) for name in record["labels"]],
            "assignees": [self.user(name) for name in record["assignees"]],
            "assignee": self.user(record["assignees"][0])
            if record["assignees"]
            else None,
            "milestone": None,
            "locked": False,
            "active_lock_reason": None,
            "comments": len(self.state.comments(record["number"])),
            "closed_at": record.get("closed_at") if closed else None,
            "author_association": "NONE" if record.get("fork") else "COLLABORATOR",
        }

    def issue(self, record: Record) -> Record:
        """Return an issue; a pull request also is one, as GitHub has it."""
        over = self._thread(record)
        closer = record.get("closed_by") if record["state"] == "closed" else None
        over["closed_by"] = self.user(closer) if closer else None
        over["state_reason"] = record.get("state_reason")
        over["repository_url"] = self.api
        number = record["number"]
        shown = self.of("issue", over, _1347=number)
        if number not in self.state.pulls:
            shown.pop("pull_request", None)
        return shown

    def pull(self, record: Record) -> Record:
        """Return a pull request."""
        head, base = record["head"], record["base"]
        number, merged = record["number"], record["merged_at"] is not None
        files, commits = self._count(base["sha"], head["sha"])
        over = {
            **self._thread(record),
            "head": {
                **head,
                **self._end(head),
                "label": f"{head['owner']}:{head['ref']}",
            },
            "base": {
                **base,
                **self._end(base),
                "label": f"{base['owner']}:{base['ref']}",
            },
            "merged": merged,
            "merged_by": self.user(record["merged_by"]) if merged else None,
            "mergeable": None if merged else record["merge"] is not None,
            "mergeable_state": _mergeable_state(record),
            "merge_commit_sha": record["merge"],
            "auto_merge": None,
            "requested_reviewers": [],
            "requested_teams": [],
            "changed_files": files,
            "commits": commits,
        }
        seen = self.of("pull-request", over, _1347=number)
        seen["statuses_url"] = f"{self.api}/statuses/{head['sha']}"
        seen["_links"]["statuses"] = {"href": seen["statuses_url"]}
        return seen

    def _end(self, end: Record) -> Record:
        owner = end["owner"]
        base = self.repository_name.split("/")[0]
        return {
            "user": self.user(owner),
            "repo": self.repository(None if owner == base else owner),
        }

    def comment(self, record: Record) -> Record:
        """Return a comment of an issue or pull request."""
        number, identity = record["number"], record["id"]
        kind = "pull" if number in self.state.pulls else "issues"
        over = {
            **{k: v for k, v in record.items() if k != "number"},
            "user": self.user(record["user"]),
            "url": f"{self.api}/issues/comments/{identity}",
            "issue_url": f"{self.api}/issues/{number}",
            "html_url": f"{self.html}/{kind}/{number}#issuecomment-{identity}",
        }
        return self.of("issue-comment", over)

    def asset(self, record: Record) -> Record:
        """Return an asset of a release."""
        release = self.state.releases[record["release"]]
        path = f"{quote(self._page(release))}/{quote(record['name'])}"
        over = {
            **{k: v for k, v in record.items() if k not in ("release", "path")},
            "uploader": self.user(record["uploader"]),
            "url": f"{self.api}/releases/assets/{record['id']}",
            "browser_download_url": f"{self.html}/releases/download/{path}",
        }
        return self.of("release-asset", over)

    def releases(self, records: list[Record]) -> list[Record]:
        """Return releases with their assets, which are gone through once."""
        assets: dict[int, list[Record]] = {record["id"]: [] for record in records}
        for asset in self.state.assets.values():
            if asset["release"] in assets:
                assets[asset["release"]].append(asset)
        return [self._release(record, assets[record["id"]]) for record in records]

    def release(self, record: Record) -> Record:
        """Return a release with its assets."""
        return self._release(record, self.state.assets_of(record["id"]))

    def _release(self, record: Record, assets: list[Record]) -> Record:
        over = {
            **record,
            "author": self.user(record["author"]),
            "assets": [self.asset(asset) for asset in assets],
            "html_url": f"{self.html}/releases/tag/{quote(self._page(record))}",
        }
        seen = self.of("release", over, _1=record["id"])
        if record["draft"]:
            seen.update(tarball_url=None, zipball_url=None)
        return seen

    def _page(self, release: Record) -> str:
        """Return a release's name in addresses: a draft has no tag yet."""
        return (
            f"untagged-{release['id']:08x}" if release["draft"] else release["tag_name"]
        )

    def ran(self, record: Record) -> Record:
        """Return a workflow run; a fork's lists no pull request."""
        over: dict[str, Any] = {
            **{
                k: v
                for k, v in record.items()
                if k not in ("jobs", "approvals", "head_owner", "triggering_actor")
            },
            "actor": self.user(record["actor"]),
            "triggering_actor": self.user(
                record.get("triggering_actor") or record["actor"]
            ),
            "repository": self.repository(),
            "head_repository": self.repository(record["head_owner"]),
            "head_commit": {"id": record["head_sha"]},
            "previous_attempt_url": None,
            "run_started_at": record["created_at"],
            "html_url": f"{self.html}/actions/runs/{record['id']}",
        }
        return self.of("workflow-run", over, _30433642=record["id"])
