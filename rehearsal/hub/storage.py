"""The hub's bytes: files at signed addresses, and what runs have uploaded."""

from __future__ import annotations

import io
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


def artifacts(state: State, folder: Path) -> list[Record]:
    """Return what runs have uploaded to ``folder/RUN/NAME``, also what is new."""
    for path in sorted(folder.glob("*/*")):
        number = zlib.crc32(f"{path.parent.name}/{path.name}".encode())
        if path.parent.name.isdigit() and number not in state.artifacts:
            about = {"run": int(path.parent.name), "name": path.name, "path": path}
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
