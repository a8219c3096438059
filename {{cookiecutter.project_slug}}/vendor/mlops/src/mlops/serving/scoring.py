"""Scoring files in batch: each once, some rows at a time, resumed where it stopped.

A file is cut into blocks. Each becomes a part of the prediction log and a part of the
output, both written as a whole and named by the file's content, the version and the
number of the block: whoever was killed finds what is done by its name. A row has an id
that is made of the same, so that a row that is scored twice is one row of the log.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING

from mlops import settings
from mlops.config.project import Project
from mlops.data.csv_format import ReadOptions
from mlops.data.known import unseen_values
from mlops.data.read import no_rows, text_columns
from mlops.data.sources import DataFile
from mlops.data.stream import blocks_of
from mlops.data.types import as_text
from mlops.errors import UsageError, printable
from mlops.io.digests import canonical_json, sha256
from mlops.io.places import Place, safe_name
from mlops.registry.chain import Bundle, fetch
from mlops.registry.queries import sensitive_columns
from mlops.results.batch import BatchRun, ScoredFile
from mlops.serving.batch import data_of, group_of
from mlops.serving.ids import PredictionIds
from mlops.serving.log_parts import parquet, part_of
from mlops.serving.log_reader import stamp
from mlops.serving.log_rows import in_sample
from mlops.storage.protocol import ReleaseStore

if TYPE_CHECKING:
    import pandas as pd

# Rows that are predicted at once, and rows of a part: they bound the memory.
ROWS = 50_000


@dataclass(frozen=True)
class Where:
    """Where a batch writes, and which store has the version.

    Parameters
    ----------
    output : Place
        Of the predictions.
    log : Place
        Of the prediction log.
    lasting : bool
        Whether the state folder outlives this machine, and with it the key of hashes.
    store : ReleaseStore, optional
        Default: where the repository says.
    """

    output: Place
    log: Place
    lasting: bool = True
    store: ReleaseStore | None = None


@dataclass
class Counts:
    """Values that training never saw, by column."""

    unseen: Counter[str] = field(default_factory=Counter)
    outside: Counter[str] = field(default_factory=Counter)


def score(
    project: Project,
    ref: str,
    files: dict[DataFile, str],
    where: Where,
    now: datetime,
    say: Callable[[str], None] = lambda text: None,
) -> tuple[BatchRun, Counts]:
    """Predict files and log the predictions.

    A file that cannot be scored is named in the result, and the others are scored.

    Parameters
    ----------
    ref : str
        ``NAME@v1.2.0`` or ``NAME@STAGE``.
    files : dict of DataFile to str
        SHA-256 of each file, of `not_scored`.
    now : datetime
        The time of the logged rows.
    say : callable
        Is told how far it is.

    Raises
    ------
    Refused
        When the version does not verify.
    EnvironmentFailure
        When a place cannot be written. What is done so far stays done.
    """
    bundle = fetch(project, ref, where.store)
    scorer = _Scorer(project, bundle, where, now)
    scored = []
    for file, digest in files.items():
        say(f"{file.shown} …")
        scored.append(scorer.score(file, digest))
    version = bundle.version
    run = BatchRun(
        model=version.model,
        version=version.number,
        at=stamp(now),
        files=tuple(scored),
    )
    return run, scorer.counts


class _Scorer:
    """A version, and what it needs to score files."""

    def __init__(
        self, project: Project, bundle: Bundle, where: Where, now: datetime
    ) -> None:
        self._version = bundle.version
        self._model = bundle.model()
        self._where = where
        self._now = now
        name = bundle.version.model
        data = data_of(project, name)
        self._key = data.id if data else None
        self._group = group_of(project, name)
        self._options = ReadOptions.of(data) if data else ReadOptions()
        self._hidden = sensitive_columns(project, bundle.manifest)
        self._features = {f.name: f.kind for f in self._model.signature.features}
        self._share = project.spec.predictions.share
        self._ids = PredictionIds(sha256(bundle.manifest_bytes).encode(), now)
        if where.lasting or settings.current().id_keys:
            self._ids = PredictionIds.of(project.state, now)
        folder = f"predictions/{name}"
        self._logged = {
            file.name.rpartition("/")[2][3:] for file in where.log.entries(folder)
        }
        self._written = {file.name for file in where.output.entries(name)}
        self.counts = Counts()

    def score(self, file: DataFile, digest: str) -> ScoredFile:
        """Predict the rows of a file that are not predicted yet."""
        version = self._version
        facts = [version.model, version.number, digest]
        batch = sha256(canonical_json(facts))[:16]
        scored = ScoredFile(path=file.shown, sha256=digest, batch=batch)
        try:
            rows = self._score(file, batch)
        except UsageError as error:
            return scored.model_copy(update={"error": printable(error)})
        return scored.model_copy(update={"rows": rows})

    def _score(self, file: DataFile, batch: str) -> int:
        kinds: dict[str, str] = dict(self._features)
        if self._key:
            kinds[self._key] = "category"
        if self._group:
            kinds.setdefault(self._group, "category")
        how = (self._options, ROWS)
        first = 0
        stem = Path(file.shown).stem
        folder = f"{self._version.model}/{safe_name(stem)}-{batch}"
        blocks = blocks_of(file.path, file.shown, kinds, text_columns(kinds), how)
        for number, frame in enumerate(blocks):
            part = f"{number:05}.parquet"
            is_logged = f"{batch}-{part}" in self._logged
            output = f"{folder}/{part}"
            if not is_logged or output not in self._written:
                frame = frame.reset_index(drop=True)
                ids = [id_of(batch, row) for row in range(first, first + len(frame))]
                predictions = self._model.predict(frame)
                if not is_logged:
                    self._log(frame, predictions, ids, f"{batch}-{part}")
                shown_ids = self._row_ids(frame, ids)
                predictions.insert(0, "id", shown_ids)
                self._where.output.write(output, parquet(predictions))
                self._count(frame)
            first += len(frame)
        if not first:
            raise no_rows(file.shown)
        return first

    def _log(
        self,
        frame: pd.DataFrame,
        predictions: pd.DataFrame,
        ids: list[str],
        part: str,
    ) -> None:
        """Write a part of the prediction log."""
        log = predictions.copy()
        log.insert(0, "id", ids)
        log.insert(1, "at", stamp(self._now))
        log.insert(2, "version", self._version.number)
        if self._key in frame:
            log["row_id"] = frame[self._key]
        if self._group in frame:
            # A hash: monitoring counts each group once and need not know which it is.
            group = frame[self._group]
            log["unit"] = group.map(
                lambda v: self._ids.unit(str(v)), na_action="ignore"
            )
            log["unit"] = log["unit"].astype("str")
        sent = frame[[n for n in self._features if n not in self._hidden]]
        if self._share < 1:
            log["share"] = self._share
            sampled = [in_sample(key, self._share) for key in ids]
            log, sent = log[sampled], sent[sampled]
        day = stamp(self._now)[:10]
        hour = stamp(self._now)[11:13]
        name = f"predictions/{self._version.model}/{day}/{hour}-{part}"
        self._where.log.write(name, part_of(_plain(sent), log))

    def _row_ids(self, frame: pd.DataFrame, ids: list[str]) -> pd.Series | list[str]:
        """Return the id of each row where it has one, else the prediction's."""
        if self._key not in frame:
            return ids
        rows = frame[self._key]
        return rows.where(rows.notna(), ids)

    def _count(self, frame: pd.DataFrame) -> None:
        unseen = unseen_values(frame, self._model.signature.features)
        self.counts.unseen.update(unseen.categories)
        self.counts.outside.update(unseen.numbers)


def id_of(batch: str, row: int) -> str:
    """Return the id of a prediction: a UUID of version 8, of the content alone."""
    digits = blake2b(f"{batch}/{row}".encode(), digest_size=16).hexdigest()
    ends = (digits[13:16], digits[17:20], digits[20:])
    return f"{digits[:8]}-{digits[8:12]}-8{ends[0]}-a{ends[1]}-{ends[2]}"


def _plain(frame: pd.DataFrame) -> pd.DataFrame:
    """Return columns of numbers and texts; what is neither, as text."""
    import pandas as pd

    plain = frame.copy()
    for name in frame.columns:
        kind = frame[name].dtype
        if kind.kind not in "biuf" and not isinstance(kind, pd.StringDtype):
            plain[name] = as_text(frame[name])
    return plain
