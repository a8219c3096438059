"""What actions/download-artifact gives, by its rules, from the folder of a run."""

import fnmatch
import json
import os
import shutil
import sys
import urllib.error
import urllib.request
from pathlib import Path


def allowed(run: str, token: str) -> str:
    """Ask the hub whether this job may read another run's artifacts; return why not."""
    if run == os.environ["GITHUB_RUN_ID"]:
        return ""
    if not token:
        return f"run {run} is another one: it needs `github-token:`"
    address = "{GITHUB_API_URL}/repos/{GITHUB_REPOSITORY}/actions/runs/".format(
        **os.environ
    )
    headers = {
        "Authorization": f"Bearer {token}",
        "Accept": "application/vnd.github+json",
    }
    request = urllib.request.Request(f"{address}{run}/artifacts", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            listed = json.load(answer)["artifacts"]
    except urllib.error.HTTPError as error:
        return f"Unable to download artifact(s): {error.code} {error.read().decode()}"
    gone = [one["name"] for one in listed if one["expired"]]
    if gone:
        return f"Unable to download artifact(s): 410 {', '.join(gone)} has expired"
    return ""


def latest(folder: Path, run: str) -> dict[str, Path]:
    """Return a run's artifacts by name; of several attempts' the latest."""
    attempts = {}
    for path in folder.glob(f"{run}*"):
        number, _, attempt = path.name.partition("-")
        if number == run:
            attempts[int(attempt or 1)] = path
    found = {}
    for _, uploaded in sorted(attempts.items()):
        found.update({path.name: path for path in uploaded.iterdir()})
    return found


def main() -> str:
    """Download; return what is wrong."""
    name, pattern, run = os.environ["NAME"], os.environ["PATTERN"], os.environ["RUN"]
    if refused := allowed(run, os.environ["TOKEN"]):
        return refused
    there = latest(Path(os.environ["REHEARSAL_ARTIFACTS"]), run)
    found = [
        n
        for n in sorted(there)
        if n == name or (not name and fnmatch.fnmatch(n, pattern or "*"))
    ]
    if name and not found:
        return f"Unable to download artifact(s): Artifact not found for name: {name}"
    target = Path(os.environ["GITHUB_WORKSPACE"], os.environ["TARGET"])
    target.mkdir(parents=True, exist_ok=True)
    for one in found:
        together = bool(name) or os.environ["MERGE"] == "true"
        to = target if together else target / one
        for file in sorted(path for path in there[one].rglob("*") if path.is_file()):
            copy = to / file.relative_to(there[one])
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, copy)
        print(f"{one} -> {to}")
    print(f"{len(found)} artifacts downloaded")
    with open(os.environ["GITHUB_OUTPUT"], "a", encoding="utf-8") as output:
        output.write(f"download-path={target}\n")
    return ""


if __name__ == "__main__":
    sys.exit(main() or 0)
