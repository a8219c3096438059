"""What actions/deploy-pages asks of the hub, and the site that comes of it."""

import json
import os
import shutil
import sys
import urllib.error
import urllib.request
from pathlib import Path


def uploaded(name: str) -> list[Path]:
    """Return the artifacts of a name that the attempts of this run have uploaded."""
    run = os.environ["GITHUB_RUN_ID"]
    folders = Path(os.environ["REHEARSAL_ARTIFACTS"]).glob(f"{run}*")
    own = [path for path in folders if path.name.partition("-")[0] == run]
    return [path / name for path in own if (path / name).is_dir()]


def main() -> str:
    """Publish; return what is wrong."""
    name = os.environ["NAME"]
    sites = uploaded(name)
    if not sites:
        return f"No artifacts named {name!r} were found for this workflow run"
    if len(sites) > 1:
        # Of a run that was run again; unlike download-artifact it takes no latest one.
        return (
            f'Multiple artifacts named "{name}" were unexpectedly found for this '
            f"workflow run. Artifact count is {len(sites)}."
        )
    site = sites[0]
    body = {
        "artifact_id": 1,
        "environment": "github-pages",
        "pages_build_version": os.environ["GITHUB_SHA"],
        "oidc_token": "rehearsal",
    }
    request = urllib.request.Request(
        "{GITHUB_API_URL}/repos/{GITHUB_REPOSITORY}/pages/deployments".format(
            **os.environ
        ),
        json.dumps(body).encode(),
        {
            "Authorization": f"Bearer {os.environ['TOKEN']}",
            "Accept": "application/vnd.github+json",
            "Content-Type": "application/json",
        },
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            address = json.load(answer)["page_url"]
    except urllib.error.HTTPError as error:
        return f"Failed to create deployment: {error.code} {error.read().decode()}"
    published = Path(os.environ["REHEARSAL_PAGES"])
    shutil.rmtree(published, ignore_errors=True)
    shutil.copytree(site, published)
    with open(os.environ["GITHUB_OUTPUT"], "a", encoding="utf-8") as output:
        output.write(f"page_url={address}\n")
    print(f"published at {address}")
    return ""


if __name__ == "__main__":
    sys.exit(main() or 0)
