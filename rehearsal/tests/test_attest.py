"""The stand-in of actions/attest: what it signs for, by name and digest."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

from rehearsal.hub import Hub

SCRIPT = Path(__file__).parents[1] / "runner" / "actions" / "attest" / "attest.py"


def test_two_files_of_one_name_are_two_subjects(tmp_path: Path) -> None:
    """Each model's release has a model.skops; a file that is given twice is one."""
    for model in ("a", "b"):
        (tmp_path / model).mkdir()
        (tmp_path / model / "model.skops").write_text(model)
    with Hub(tmp_path / "hub") as hub:
        environment = {
            **os.environ,
            "GITHUB_API_URL": hub.api_url,
            "GITHUB_SERVER_URL": hub.server_url,
            "GITHUB_REPOSITORY": hub.repository,
            "GITHUB_WORKSPACE": str(tmp_path),
            "GITHUB_OUTPUT": str(tmp_path / "output"),
            "RUNNER_TEMP": str(tmp_path),
            "TOKEN": hub.tokens.issue({"attestations": "write"}, actor="alice"),
            "SUBJECTS": "a/model.skops\nb/model.skops\na/model.skops",
        }
        command = [sys.executable, str(SCRIPT)]
        subprocess.run(command, env=environment, check=True, cwd=tmp_path)
        (kept,) = hub.state.attestations
    payload = kept["bundle"]["dsseEnvelope"]["payload"]
    subjects = json.loads(base64.b64decode(payload))["subject"]
    assert subjects == [
        {
            "name": "model.skops",
            "digest": {"sha256": hashlib.sha256(model.encode()).hexdigest()},
        }
        for model in ("a", "b")
    ]
