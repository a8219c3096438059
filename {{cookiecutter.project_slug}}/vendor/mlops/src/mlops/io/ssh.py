"""SSH signatures as OpenSSH verifies them, whatever the user's configuration says."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory

from mlops import settings

NAMESPACE = "git"  # what git signs for

VERIFY_SECONDS = 20.0  # ssh-keygen takes milliseconds

OTHER_KEY = "it is not by a key that the file gives to this person"

_KEY_TYPES = ("ssh-", "ecdsa-", "sk-")


class _NoAnswer(Exception):
    """ssh-keygen said neither yes nor no; another time it may."""


def signature_problem(
    payload: bytes, signature: bytes, signers: bytes, principal: str, time: int
) -> str:
    """Return why a signature does not hold; empty where it does.

    Parameters
    ----------
    payload : bytes
        What was signed.
    signature : bytes
        Armoured, as ``ssh-keygen -Y sign`` writes it.
    signers : bytes
        A file of allowed signers, see ALLOWED SIGNERS in ``man ssh-keygen``. Its times
        are read as UTC.
    principal : str
        Whose signature it has to be.
    time : int
        When the key has to be valid, in seconds since 1970.
    """
    try:
        return verification(payload, signature, signers, principal, time)
    except _NoAnswer as error:
        return str(error)


@lru_cache(maxsize=4096)
def verification(
    payload: bytes, signature: bytes, signers: bytes, principal: str, time: int
) -> str:
    """Return what ssh-keygen has against a signature: it is the same every time.

    Raises
    ------
    _NoAnswer
        Where there is no ssh-keygen, or it does not answer.
    """
    when = datetime.fromtimestamp(time, UTC)
    with TemporaryDirectory(prefix="mlops-signature-") as folder:
        allowed = Path(folder) / "allowed_signers"
        allowed.write_bytes(signers)
        signed = Path(folder) / "signature"
        signed.write_bytes(signature)
        command = ["ssh-keygen", "-Y", "verify", "-n", NAMESPACE]
        command += ["-f", str(allowed), "-I", principal, "-s", str(signed)]
        command += [f"-Overify-time={when:%Y%m%d%H%M%S}"]
        return _run(command, payload)


def _run(command: list[str], payload: bytes) -> str:
    """Return what a command of ssh-keygen complains about; empty where it agrees."""
    # Times without a zone, in the file and in the option, are those of TZ.
    environment = {**settings.current().environment, "TZ": "UTC", "LC_ALL": "C"}
    try:
        done = subprocess.run(
            command,
            input=payload,
            capture_output=True,
            env=environment,
            timeout=VERIFY_SECONDS,
            check=False,
        )
    except FileNotFoundError as error:
        text = "it cannot be verified: ssh-keygen is not installed"
        raise _NoAnswer(text) from error
    except subprocess.TimeoutExpired as error:
        text = f"ssh-keygen gave no answer within {VERIFY_SECONDS:g} seconds"
        raise _NoAnswer(text) from error
    if done.returncode == 0:
        return ""
    return _reason(done.stderr.decode("utf-8", "replace"))


def _reason(stderr: str) -> str:
    """Return in our words what ssh-keygen says."""
    known = {
        "key has expired": "the key has expired",
        "key is not yet valid": "the key is not yet valid",
        "not permitted for use in signature namespace": "the key is not for git",
        "incorrect signature": "the signature is not of this content",
    }
    for words, reason in known.items():
        if words in stderr:
            return reason
    return OTHER_KEY


def public_key(configured: str) -> str:
    """Return the public key, ``TYPE BASE64``, that git's ``user.signingKey`` names.

    Empty where it cannot be found: an agent may hold it.

    Parameters
    ----------
    configured : str
        A key, ``key::`` and a key, or the path of a key file.
    """
    text = configured.removeprefix("key::")
    if not text:
        return ""
    if not text.startswith(_KEY_TYPES):
        path = Path(text).expanduser()
        if path.suffix != ".pub":
            path = path.with_name(f"{path.name}.pub")
        try:
            text = path.read_text("utf-8")
        except (OSError, UnicodeDecodeError):
            return ""
    fields = text.split()
    if len(fields) < 2 or not fields[0].startswith(_KEY_TYPES):
        return ""
    return " ".join(fields[:2])
