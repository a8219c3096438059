"""What is signed in a tag, and whose keys a file of allowed signers has.

Functions of data to data; `mlops.io.ssh` verifies.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from mlops.settings import LAST_SECOND

_ARMOUR = b"\n-----BEGIN SSH SIGNATURE-----\n"

_HEADER = re.compile(
    rb"object (?P<commit>[0-9a-f]+)\ntype commit\ntag (?P<tag>[^\n]+)\n"
    rb"tagger (?P<tagger>[^\n]*) (?P<time>\d{1,12}) [+-]\d{4}\n\n"
)

# A field of a line: words and quoted texts in any order, as OpenSSH reads options.
_FIELD = re.compile(r'(?:"[^"]*"|[^\s"])+')


class TagContent(NamedTuple):
    """A tag object: what its bytes say, and who signed them.

    `payload` is what was signed; `signature` is empty where there is none of SSH.
    `time` is in seconds since 1970.
    """

    tag: str
    commit: str
    time: int
    message: str
    payload: bytes
    signature: bytes


def tag_content(content: bytes) -> TagContent | None:
    """Return what the bytes of a tag object say, None where they are none of a commit.

    The signature is what follows the last line that begins one, as in git.
    """
    start = content.rfind(_ARMOUR)
    payload = content
    signature = b""
    if start >= 0:
        payload = content[: start + 1]
        signature = content[start + 1 :]
    header = _HEADER.match(payload)
    if header is None or int(header["time"]) > LAST_SECOND:
        return None
    return TagContent(
        tag=header["tag"].decode("utf-8", "replace"),
        commit=header["commit"].decode(),
        time=int(header["time"]),
        message=payload[header.end() :].decode("utf-8", "replace"),
        payload=payload,
        signature=signature,
    )


class SignerLine(NamedTuple):
    """A line of a file of allowed signers, `text` as it stands there."""

    names: tuple[str, ...]
    key: str
    text: str


def signer_lines(content: bytes) -> list[SignerLine]:
    """Return the lines that give a key to somebody; others are passed over."""
    lines = []
    for text in content.decode("utf-8", "replace").splitlines():
        fields = _FIELD.findall(text)
        if len(fields) < 3 or fields[0].startswith("#"):
            continue
        options = 1 if re.match("(ssh|ecdsa|sk)-", fields[1]) is None else 0
        key = " ".join(fields[1 + options : 3 + options])
        names = tuple(fields[0].strip('"').split(","))
        lines.append(SignerLine(names, key, text))
    return lines
