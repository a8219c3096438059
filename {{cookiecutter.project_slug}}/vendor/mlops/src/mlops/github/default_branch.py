"""The default branch, where a workflow file has to name it.

`on: push` takes names and patterns of branches and has no word for the default branch;
everything else in a workflow asks the event for its name.
"""

from __future__ import annotations

import json
import re

# What stands for the default branch in the rulesets of GitHub's API; settings.yaml
# takes it for the branches of an environment, too.
DEFAULT_BRANCH = "~DEFAULT_BRANCH"

# The workflows that are about what is merged. Others of a repository's own may well
# listen to another branch.
FOLLOWING = ("release.yml", "settings.yml")

_PUSH = re.compile(
    r"^(?P<head> +push: *\n(?: +#.*\n)* +branches: *)\[(?P<names>[^\]\n]*)\]",
    re.MULTILINE,
)
_PLAIN = re.compile(r"[A-Za-z_][\w./-]*")
_WORDS = ("true", "false", "null", "yes", "no", "on", "off")  # of some YAML


def with_branch(text: str, branch: str) -> str | None:
    """Return a workflow file that listens to pushes of a branch as well.

    A branch that stands alone is replaced; where there are several, nobody can say
    which of them was the default branch, and they stay.

    Returns
    -------
    str or None
        None where the branches of its pushes do not stand in one line in brackets.
    """
    match = _PUSH.search(text)
    if match is None:
        return None
    others = [name for name in match["names"].split(",") if name.strip()]
    remaining = [name.strip() for name in others] if len(others) > 1 else []
    names = ", ".join([_as_yaml(branch), *remaining])
    return f"{text[: match.start()]}{match['head']}[{names}]{text[match.end() :]}"


def _as_yaml(branch: str) -> str:
    """Return a branch as a pattern that fits it alone, as YAML."""
    if _PLAIN.fullmatch(branch) and branch.lower() not in _WORDS:
        return branch
    pattern = re.sub(r"(^!|\+)", r"\\\1", branch)
    return json.dumps(pattern)
