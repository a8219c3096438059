"""Copy what actions/upload-artifact would take, by its rules, into the run's folder."""

import glob
import hashlib
import os
import re
import shutil
import sys
from pathlib import Path

MAGIC = re.compile(r"[*?\[]")


def search_path(pattern: str) -> str:
    """Return the folders of a pattern before its first wildcard."""
    parts = pattern.split("/")
    fixed = [*parts, "*"][
        : next((i for i, p in enumerate(parts) if MAGIC.search(p)), len(parts))
    ]
    return "/".join(fixed) or "/"


def hidden(file: str, start: str) -> bool:
    """Say whether a file is hidden, or a folder on the way to it from the start."""
    parts = [os.path.basename(start), *os.path.relpath(file, start).split("/")]
    return any(part.startswith(".") and part != "." for part in parts)


def below(pattern: str) -> set[str]:
    """Return the files that a pattern matches, also those in matching folders."""
    found = set()
    for path in glob.glob(pattern, recursive=True, include_hidden=True):
        if os.path.isfile(path):
            found.add(path)
        for folder, _, names in os.walk(path, followlinks=True):
            found |= {f"{folder.rstrip('/')}/{name}" for name in names}
    return found


def chosen(
    patterns: list[str], workspace: str, hidden_too: bool
) -> tuple[str, list[str]]:
    """Return the folder that paths in the artifact begin at, and the files.

    One path is that folder itself; several begin where they part; a lone file is at the
    top.
    """
    files: set[str] = set()
    starts: list[str] = []
    for pattern in patterns:
        full = os.path.normpath(os.path.join(workspace, pattern.removeprefix("!")))
        if pattern.startswith("!"):
            files -= below(full)
            continue
        start = search_path(full)
        starts.append(start)
        files |= {f for f in below(full) if hidden_too or not hidden(f, start)}
    tops = {
        s for s in starts if not any(s != t and s.startswith(f"{t}/") for t in starts)
    }
    if len(tops) > 1:
        return os.path.commonpath(tops), sorted(files)
    top = starts[0]
    return (os.path.dirname(top) if files == {top} else top), sorted(files)


def folder() -> str:
    """Return the folder of this attempt: each one may use a name once."""
    run, attempt = os.environ["GITHUB_RUN_ID"], os.environ["GITHUB_RUN_ATTEMPT"]
    return run if attempt == "1" else f"{run}-{attempt}"


def main() -> str:
    """Upload; return what is wrong."""
    name, none = os.environ["NAME"], os.environ["NONE"]
    if bad := set('":<>|*?\r\n\\/') & set(name):
        return f"The artifact name is not valid: {name!r} contains {sorted(bad)}"
    patterns = [
        line.strip() for line in os.environ["FILES"].splitlines() if line.strip()
    ]
    hidden_too = os.environ["HIDDEN"] == "true"
    root, files = chosen(patterns, os.environ["GITHUB_WORKSPACE"], hidden_too)
    if not files:
        said = f"No files were found with the provided path: {' '.join(patterns)}."
        print("" if none == "ignore" else said)
        return said if none == "error" else ""
    target = Path(os.environ["REHEARSAL_ARTIFACTS"], folder(), name)
    if target.exists() and os.environ["OVERWRITE"] == "true":
        shutil.rmtree(target)
    try:
        target.mkdir(parents=True)
    except FileExistsError:
        return (
            "Failed to CreateArtifact: (409) Conflict: an artifact with this name "
            "already exists"
        )
    digest = hashlib.sha256()
    for file in files:
        copy = target / os.path.relpath(file, root)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, copy)  # a zip of theirs keeps no permissions either
        digest.update(copy.read_bytes())
    number = int(digest.hexdigest()[:8], 16)
    where = "{GITHUB_SERVER_URL}/{GITHUB_REPOSITORY}/actions/runs/{GITHUB_RUN_ID}"
    with open(os.environ["GITHUB_OUTPUT"], "a", encoding="utf-8") as output:
        output.write(f"artifact-id={number}\nartifact-digest={digest.hexdigest()}\n")
        output.write(f"artifact-url={where.format(**os.environ)}/artifacts/{number}\n")
    print(f"{name}: {len(files)} files")
    return ""


if __name__ == "__main__":
    sys.exit(main() or 0)
