"""What actions/attest needs and leaves, without the signature."""

import base64
import glob
import hashlib
import json
import os
import sys
import urllib.error
import urllib.request
from pathlib import Path


def main() -> str:
    """Attest; return what is wrong."""
    patterns = os.environ["SUBJECTS"].replace(",", "\n").split()
    workspace = Path(os.environ["GITHUB_WORKSPACE"])
    files = sorted(
        {path for one in patterns for path in glob.glob(str(workspace / one))}
    )
    if not files:
        return f"Could not find subject at path {' '.join(patterns) or '(none)'}"
    # Two files of one name are two subjects, as their digests differ.
    subjects = []
    for file in files:
        digest = hashlib.sha256(Path(file).read_bytes()).hexdigest()
        subject = {"name": Path(file).name, "digest": {"sha256": digest}}
        if subject not in subjects:
            subjects.append(subject)
    statement: dict[str, object] = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": subjects,
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {},
    }
    bom = os.environ.get("SBOM")
    if bom:
        if not (workspace / bom).is_file():
            return f"SBOM file not found: {bom}"
        predicate = json.loads((workspace / bom).read_bytes())
        if predicate.get("bomFormat") != "CycloneDX":
            return "Unsupported SBOM format"
        statement["predicateType"] = "https://cyclonedx.org/bom"
        statement["predicate"] = predicate
    bundle = {
        "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
        "verificationMaterial": {},
        "dsseEnvelope": {
            "payload": base64.b64encode(json.dumps(statement).encode()).decode()
        },
    }
    request = urllib.request.Request(
        "{GITHUB_API_URL}/repos/{GITHUB_REPOSITORY}/attestations".format(**os.environ),
        json.dumps({"bundle": bundle}).encode(),
        {
            "Authorization": f"Bearer {os.environ['TOKEN']}",
            "Accept": "application/vnd.github+json",
            "Content-Type": "application/json",
        },
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            number = json.load(answer)["id"]
    except urllib.error.HTTPError as error:
        return f"Failed to persist attestation: {error.code} {error.read().decode()}"
    path = Path(os.environ["RUNNER_TEMP"], "attestation.json")
    path.write_text(json.dumps(bundle) + "\n", encoding="utf-8")
    where = "{GITHUB_SERVER_URL}/{GITHUB_REPOSITORY}/attestations".format(**os.environ)
    with open(os.environ["GITHUB_OUTPUT"], "a", encoding="utf-8") as output:
        output.write(f"attestation-id={number}\nattestation-url={where}/{number}\n")
        output.write(f"bundle-path={path}\n")
    print(f"attested {len(files)} subjects")
    return ""


if __name__ == "__main__":
    sys.exit(main() or 0)
