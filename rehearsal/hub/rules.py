"""What rulesets and immutable releases forbid."""

from __future__ import annotations

import re

from rehearsal.hub.git import ZERO, Update
from rehearsal.hub.identity import Caller
from rehearsal.hub.state import Record, State

_KINDS = {"branch": "refs/heads/", "tag": "refs/tags/"}
_GOOD_CHECKS = ("success", "skipped", "neutral")


def rules_of(state: State, ref: str, only: Record | None = None) -> list[Record]:
    """Return the rules of the active rulesets, or of one, that a ref falls under."""
    found = []
    for ruleset in [only] if only else state.rulesets.values():
        names = (ruleset.get("conditions") or {}).get("ref_name", {})
        mine = ref.startswith(_KINDS.get(ruleset["target"], "none"))
        included = names.get("include", [])
        covered = mine and _matches(included, ref, state.default_branch)
        if (
            ruleset["enforcement"] == "active"
            and covered
            and not _matches(names.get("exclude", []), ref, state.default_branch)
        ):
            found += ruleset.get("rules", [])
    return found


def refusal(state: State, updates: list[Update], caller: Caller) -> str:
    """Return why a push or an update by the API is refused; empty when it is not."""
    for update in updates:
        kinds = {rule["type"] for rule in rules_of(state, update.ref)}
        change = _change(update)
        if update.ref.startswith("refs/pull/"):
            return f"deny updating a hidden ref: {update.ref}"
        burnt = update.ref.removeprefix("refs/tags/") in state.burnt_tags
        if burnt and change != "creation":
            return f"Cannot change tag {update.ref} of an immutable release."
        reason = ""
        if change in kinds:
            verb = change.replace("ion", "e")
            reason = f"Cannot {verb} ref due to {change}s being restricted."
        if change == "creation" and _demands_checks_of_new(state, update.ref):
            reason = reason or "Required status checks are expected."
        # The first push makes the branch that the rule then protects.
        if "pull_request" in kinds and change != "creation":
            reason = reason or "Changes must be made through a pull request."
        if reason:
            return f"GH013: Repository rule violations found for {update.ref}. {reason}"
    return ""


def _demands_checks_of_new(state: State, ref: str) -> bool:
    """Say whether a branch may be made only of a commit that has passed checks.

    No commit that is new here has passed any.

    References
    ----------
    https://docs.github.com/rest/repos/rules
    """
    for rule in rules_of(state, ref):
        parameters = rule.get("parameters") or {}
        demanded = parameters.get("required_status_checks")
        if demanded and not parameters.get("do_not_enforce_on_create"):
            return True
    return False


def forward_only(state: State, ref: str) -> bool:
    """Say whether a ref may only move to what it is an ancestor of."""
    return any(rule["type"] == "non_fast_forward" for rule in rules_of(state, ref))


def _change(update: Update) -> str:
    if update.old == ZERO:
        return "creation"
    if update.new == ZERO:
        return "deletion"
    return "update"


def lacking_check(state: State, branch: str, sha: str) -> str:
    """Return a required check that a commit has not passed; empty if there is none."""
    passed = _passed(state, sha)
    for rule in rules_of(state, f"refs/heads/{branch}"):
        if rule["type"] != "required_status_checks":
            continue
        for check in rule["parameters"]["required_status_checks"]:
            if check["context"] not in passed:
                return str(check["context"])
    return ""


def _passed(state: State, sha: str) -> set[str]:
    """Return the names of the statuses, checks and jobs that a commit has passed.

    Of several of one name, the latest counts.
    """
    results: dict[str, bool] = {}
    for status in state.statuses:
        if status["sha"] == sha:
            results[status["context"]] = status["state"] == "success"
    for check in state.check_runs.values():
        if check["head_sha"] == sha:
            results[check["name"]] = check["conclusion"] in _GOOD_CHECKS
    # A run that was run again is newer than one that began after it.
    for run in sorted(state.runs.values(), key=lambda run: str(run["updated_at"])):
        if run["head_sha"] == sha:
            for name, result in run["jobs"].items():
                results[name] = result in ("success", "skipped")
    return {name for name, passed in results.items() if passed}


def lacking_review(state: State, branch: str, role: str) -> bool:
    """Say whether a code owner's review is missing.

    The hub knows no reviews: only an administrator can do without, where the ruleset
    says so.
    """
    for ruleset in state.rulesets.values():
        mine = rules_of(state, f"refs/heads/{branch}", ruleset)
        wanted = any(
            (r.get("parameters") or {}).get("require_code_owner_review") for r in mine
        )
        admins = {"actor_type": "RepositoryRole", "actor_id": 5}
        let = any(
            admins.items() <= actor.items()
            for actor in ruleset.get("bypass_actors", ())
        )
        if wanted and not (let and role == "admin"):
            return True
    return False


def _matches(patterns: list[str], ref: str, default_branch: str) -> bool:
    is_default = ref == f"refs/heads/{default_branch}"
    special = {"~ALL": True, "~DEFAULT_BRANCH": is_default}
    return any(special.get(p, fits(p, ref)) for p in patterns)


# What may stand in a pattern, as Ruby's `File.fnmatch` reads it for paths: only `**/`
# goes on over a slash.
_FNMATCH = re.compile(r"(?P<folders>(?:(?<=/)|^)\*\*/)|\*+|\?|\[[^]]+\]|\\(.)|(.)")


def fits(pattern: str, ref: str) -> bool:
    """Say whether a pattern fits a ref, or a name of a branch or tag."""

    def translated(match: re.Match[str]) -> str:
        text = match[0]
        if match["folders"]:
            return "(?:.*/)?"
        if text[0] == "*":
            return "[^/]*"
        if text == "?":
            return "[^/]"
        if text[0] == "[" and len(text) > 1:
            return text
        return re.escape(match[2] or match[3])

    return re.fullmatch(_FNMATCH.sub(translated, pattern), ref) is not None
