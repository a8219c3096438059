"""The hub's bytes: files at signed addresses, and what runs have uploaded."""

from __future__ import annotations

import io
import re
import secrets
import zipfile
import zlib
from pathlib import Path

from rehearsal.hub.state import Record, State


class Storage:
    """Files, and the addresses at which they can be had without a token.

    Parameters
    ----------
    folder : Path
    address : str
    """

    def __init__(self, folder: Path, address: str) -> None:
        self.folder, self.address = folder, address
        self._signed: dict[str, Path] = {}

    def keep(self, name: str, content: bytes) -> Path:
        """Write bytes."""
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        return path

    def signed(self, path: Path) -> str:
        """Return an address of a file."""
        signature = secrets.token_hex(16)
        self._signed[signature] = path
        return f"{self.address}/{signature}"

    def found(self, signature: str) -> Path | None:
        """Return the file of a signed address."""
        return self._signed.get(signature)


_ATTEMPT = re.compile(r"(?P<run>[0-9]+)(-(?P<attempt>[0-9]+))?")


def folders_of(folder: Path, run: int) -> list[Path]:
    """Return where the attempts of a run have uploaded to, the latest last.

    That of the first is ``folder/RUN``, that of the second ``folder/RUN-2``.
    """
    found = {}
    for path in folder.glob(f"{run}*"):
        match = _ATTEMPT.fullmatch(path.name)
        if match and match["run"] == str(run):
            found[int(match["attempt"] or 1)] = path
    return [found[attempt] for attempt in sorted(found)]


def artifacts(state: State, folder: Path) -> list[Record]:
    """Return what runs have uploaded, also what is new.

    A name that two attempts of a run have uploaded is there twice, as on GitHub.
    """
    for path in sorted(folder.glob("*/*")):
        number = zlib.crc32(f"{path.parent.name}/{path.name}".encode())
        match = _ATTEMPT.fullmatch(path.parent.name)
        if match and number not in state.artifacts:
            about = {"run": int(match["run"]), "name": path.name, "path": path}
            # Its own id is the number: newer things have higher ones.
            state.artifacts[number] = state.stamped({**about, "expired": False})
    return list(state.artifacts.values())


def zipped(folder: Path) -> bytes:
    """Return a folder as a zip file, the same bytes for the same files."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            name = path.relative_to(folder).as_posix()
            archive.writestr(zipfile.ZipInfo(name), path.read_bytes())
    return buffer.getvalue()
