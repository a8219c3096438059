"""Ids of predictions: UUIDs that sort by time and prove that they were made here.

The last 32 bits are a keyed hash of the others, so that a label for an id that was
never given out is refused without a look at the log.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import blake2b
from hmac import compare_digest
from pathlib import Path
from uuid import UUID

from mlops import settings
from mlops.errors import EnvironmentFailure
from mlops.io.files import reaching

KEY_FILE = "prediction-ids.json"

_COUNTER = 1 << 40  # what time, version and hash leave of a UUID

_log = logging.getLogger("mlops.serving")


@dataclass(frozen=True)
class PredictionIds:
    """Makes ids and recognises them.

    Parameters
    ----------
    key : bytes
        Secret; the same for all that share a prediction log.
    since : datetime
        When the key was made: ids that are older have no hash.
    earlier : tuple of bytes
        Keys that ids were made with before; those are recognised, too.
    """

    key: bytes
    since: datetime
    earlier: tuple[bytes, ...] = ()

    @classmethod
    def of(cls, state: Path, now: datetime) -> PredictionIds:
        """Return the ids of a state folder, whose key is made at the first use.

        Where the folder cannot be written, the key lasts as long as the process. The
        keys of MLOPS_ID_KEY come before it: the first makes, all recognise.
        """
        keys = settings.current().id_keys
        if keys:
            return cls._of_keys(keys, state)
        new = cls(secrets.token_bytes(32), now)
        path = state / KEY_FILE
        try:
            new._save(path)
            return cls._load(path)
        except EnvironmentFailure as error:
            _log.warning("labels can be sent until this process ends: %s", error)
            return new

    @classmethod
    def _of_keys(cls, keys: tuple[bytes, ...], state: Path) -> PredictionIds:
        """Return the ids of keys, and of the one that this folder had before them."""
        never = datetime.min.replace(tzinfo=UTC)
        path = state / KEY_FILE
        if not path.is_file():
            return cls(keys[0], never, keys[1:])
        before = cls._load(path)
        return cls(keys[0], before.since, (*keys[1:], before.key))

    @classmethod
    def _load(cls, path: Path) -> PredictionIds:
        with reaching("read", path):
            text = path.read_text()
        try:
            stored = json.loads(text)
            since = datetime.fromisoformat(stored["since"])
            return cls(bytes.fromhex(stored["key"]), since)
        except (ValueError, KeyError, TypeError) as error:
            raise EnvironmentFailure(
                "this file has no key for prediction ids",
                file=str(path),
                do="remove it; labels of predictions made until now will be refused",
            ) from error

    def _save(self, path: Path) -> None:
        """Write the key as a whole, unless there is one."""
        stored = {"key": self.key.hex(), "since": self.since.isoformat()}
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        with reaching("write", path):
            if path.exists():
                return
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                temporary.touch(mode=0o600)
                temporary.write_text(json.dumps(stored))
                with suppress(FileExistsError):  # another process was first
                    os.link(temporary, path)
            finally:
                temporary.unlink(missing_ok=True)

    def make(self, now: datetime, count: int) -> list[str]:
        """Return different ids for one moment, in ascending order.

        UUIDs of version 7 (RFC 9562) whose random part is a counter with a random
        start.
        """
        milliseconds = int(now.timestamp() * 1000)
        # Half of the range is left to count in.
        first = secrets.randbelow(_COUNTER // 2)
        ids = []
        for number in range(first, first + count):
            digits = f"{number:010x}"
            head = f"{milliseconds:012x}7{digits[:3]}8{digits[3:]}"
            ids.append(str(UUID(head + _hash(self.key, head))))
        return ids

    def unit(self, name: str) -> str:
        """Return the keyed hash of what a row belongs to, such as a customer."""
        return blake2b(name.encode(), key=self.key, digest_size=8).hexdigest()

    def made(self, key: str) -> bool:
        """Return whether an id was made with one of the keys."""
        digits = _digits(key)
        keys = (self.key, *self.earlier)
        hashes = [_hash(one, digits[:24]) for one in keys]
        return any([compare_digest(one, digits[24:]) for one in hashes])

    def older(self, key: str) -> bool:
        """Return whether an id is one from before there was a key."""
        digits = _digits(key)
        if not digits:
            return False
        return int(digits[:12], 16) < self.since.timestamp() * 1000


def _hash(key: bytes, head: str) -> str:
    return blake2b(head.encode(), key=key, digest_size=4).hexdigest()


def _digits(key: str) -> str:
    """Return the digits of a UUID as it was given out, empty for any other text.

    Other ways to write the same UUID would not be found in the log.
    """
    try:
        uuid = UUID(key)
    except ValueError:
        return ""
    return uuid.hex if str(uuid) == key else ""
