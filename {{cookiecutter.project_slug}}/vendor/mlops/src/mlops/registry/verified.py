"""Signatures that held before, so that each is verified once in a clone.

Every verification is a process of OpenSSH, and a registry keeps its tags for ever. A
signature that holds, by a line of allowed signers at a time, holds every time; what did
not hold, or had no answer, is asked again. The digests are kept in git's own folder:
whoever can write there can change what git itself runs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mlops.errors import EnvironmentFailure
from mlops.io.digests import sha256
from mlops.io.files import replacing
from mlops.io.git import git
from mlops.io.ssh import signature_problem

FILE = "mlops/verified-signatures"

_MOST = 20_000  # digests, of 65 bytes each

_DIGEST = re.compile("[0-9a-f]{64}")


class VerifiedSignatures:
    """Verifies signatures, and asks nothing twice that held.

    Parameters
    ----------
    known : iterable of str
        Digests of what held before.
    """

    def __init__(self, known: Iterable[str]) -> None:
        self._known = frozenset(known)
        self.held: set[str] = set()

    @property
    def new(self) -> set[str]:
        """The digests of what was found to hold and was not known."""
        return self.held - self._known

    def problem(
        self,
        payload: bytes,
        signature: bytes,
        signers: bytes,
        principal: str,
        time: int,
    ) -> str:
        """Return why a signature does not hold, as `signature_problem` does."""
        parts = (payload, signature, signers, principal.encode(), str(time).encode())
        digest = sha256("".join(sha256(part) for part in parts).encode())
        if digest in self._known or digest in self.held:
            self.held.add(digest)
            return ""
        problem = signature_problem(payload, signature, signers, principal, time)
        if not problem:
            self.held.add(digest)
        return problem


@contextmanager
def verified(root: Path) -> Iterator[VerifiedSignatures]:
    """Yield what verifies signatures in a repository; keep what held.

    A file that cannot be read or written costs time and nothing else.
    """
    path = root / git(root, "rev-parse", "--git-path", FILE)
    lines: list[str] = []
    with suppress(OSError):
        lines = path.read_text("ascii", "replace").splitlines()
    known = [line for line in lines if _DIGEST.fullmatch(line)]
    signatures = VerifiedSignatures(known)
    yield signatures
    if not signatures.new:
        return
    remembered = {*known, *signatures.new}
    if len(remembered) > _MOST:
        remembered = signatures.held
    with suppress(EnvironmentFailure), replacing(path) as temporary:
        temporary.write_text(
            "".join(f"{digest}\n" for digest in sorted(remembered)), "ascii"
        )
