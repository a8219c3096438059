"""`mlops serve` and `mlops predict`: a live server follows a git tag, proven before it serves."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from reprlib import repr as brief
from typing import TYPE_CHECKING, Annotated, Any, cast

import pydantic
from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, StrictStr, TypeAdapter
from typing_extensions import TypedDict

from mlops import MlopsError, Problem, Refused, UsageError, WorldError, did_you_mean, listed
from mlops.data.read import as_text, read_table
from mlops.project import Project
from mlops.registry.manifest import fetch
from mlops.registry.objects import sync
from mlops.registry.store import ReleaseStore
from mlops.registry.tags import read, resolve
from mlops.results import Signature
from mlops.serving.log import PredictionLog, new_id

if TYPE_CHECKING:
    import pandas as pd

    from mlops.training.model import Model

TOLERANCE = 1e-9
MAX_ROWS = 10_000
_MOST_PROBLEMS = 20
_STRICT = pydantic.ConfigDict(extra="forbid")
_NUMBER = Annotated[float, Field(strict=True, allow_inf_nan=False)]
_TYPES: dict[str, Any] = {
    "number": _NUMBER,
    "category": Annotated[StrictStr, BeforeValidator(lambda v: str(v) if type(v) is int else v)],
    "boolean": bool,
    "date": Annotated[StrictStr, AfterValidator(lambda v: datetime.fromisoformat(v).isoformat())],
}
_SHOWN = {"model", "version", "created", "signature", "metrics", "data", "code", "assets"}
_log = logging.getLogger("mlops.serving")


class Feedback(BaseModel):
    """The label of a prediction, which came later."""

    model_config = _STRICT
    id: Annotated[str, Field(min_length=1, max_length=64)]
    label: Any = Field(description="A class of the model; for regression a number.")


class Requests:
    """Reads what clients send to a model, by pydantic types that are made from its signature.

    Every refusal is a `UsageError` with all problems.
    """

    def __init__(self, signature: Signature) -> None:
        self.signature = signature
        self.names = [f.name for f in signature.features]
        # A dict and no class with attributes: the name of a column can be any text.
        types = {f.name: _TYPES[f.kind] | None for f in signature.features}
        self.row: Any = pydantic.with_config(_STRICT)(cast(Any, TypedDict)("Row", types))
        rows: Any = Annotated[
            list[self.row],  # type: ignore[name-defined]
            Field(min_length=1, max_length=MAX_ROWS),
            BeforeValidator(lambda v: [v] if isinstance(v, dict) else v),
        ]
        self.body = pydantic.create_model("Request", __config__=_STRICT, rows=(rows, ...))

    def rows(self, content: bytes) -> pd.DataFrame:
        """Return the rows of ``{"rows": ROW or [ROW, ...]}``, each with every feature."""
        import pandas as pd

        return pd.DataFrame(self._parse(self.body, content).rows, columns=self.names)

    def label(self, content: bytes) -> tuple[str, str | float]:
        """Return prediction id and label of ``{"id": ..., "label": ...}``."""
        import pandas as pd

        sent, classes = self._parse(Feedback, content), self.signature.classes
        if self.signature.task == "regression":
            with suppress(pydantic.ValidationError):
                return sent.id, TypeAdapter(_NUMBER).validate_python(sent.label)
        else:  # true may stand as `True` in the data
            names = {name.lower(): name for name in classes} | {name: name for name in classes}
            text = as_text(pd.Series([sent.label]))[0]
            if text in names:
                return sent.id, names[text]
        what, allowed = "this is no label of the model", listed(classes) or "a finite number"
        raise UsageError(what, file="", key="label", found=brief(sent.label), allowed=allowed)

    def openapi(self, example: dict[str, Any]) -> dict[str, Any]:
        """Return the request body of ``/predict`` for OpenAPI, with a row that works."""
        row = TypeAdapter(self.row).json_schema()
        rows = {"anyOf": [row, {"type": "array", "items": row, "maxItems": MAX_ROWS}]}
        schema = {"type": "object", "properties": {"rows": rows}, "required": ["rows"]}
        return {"content": {"application/json": {"schema": schema, "example": {"rows": example}}}}

    def _parse(self, cls: type[BaseModel], content: bytes) -> Any:
        try:
            return cls.model_validate_json(content)
        except pydantic.ValidationError as error:
            found = error.errors(include_url=False)
        problems = [self._problem(item) for item in found[:_MOST_PROBLEMS]]
        if len(found) > _MOST_PROBLEMS:
            problems.append(Problem(f"and {len(found) - _MOST_PROBLEMS} problems more"))
        raise UsageError(*problems)

    def _problem(self, item: Any) -> Problem:
        advice = "send null where it is not known" if item["type"] == "missing" else ""
        if item["type"] == "extra_forbidden":
            advice = did_you_mean(str(item["loc"][-1]), self.names)
        key = ".".join(map(str, item["loc"]))
        return Problem(item["msg"], key=key, found=brief(item["input"]), do=advice)


@dataclass(frozen=True)
class Served:
    """A verified version: `summary` is what ``/model`` shows, `expected` what it must answer.

    `examples` and `expected` have one row for each example that was registered with the version.
    """

    version: str
    model: Model
    summary: Mapping[str, Any]
    examples: pd.DataFrame
    expected: pd.DataFrame

    @cached_property
    def requests(self) -> Requests:
        """Reads what clients send to this version."""
        return Requests(self.model.signature)

    @cached_property
    def _threads(self) -> Any:
        from threadpoolctl import ThreadpoolController

        return ThreadpoolController()

    def predict(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Predict with one thread: those of OpenMP spin, and on a busy machine that is slow."""
        with self._threads.limit(limits=1):
            return self.model.predict(rows)

    def warm_up(self) -> None:
        """Predict the examples, which also fills every cache before the first request.

        Raises `Refused` when an answer differs from the registered one by more than 1e-9.
        """
        from pandas.testing import assert_frame_equal

        got = self.predict(self.examples)[list(self.expected)]
        near = {"check_dtype": False, "rtol": TOLERANCE, "atol": TOLERANCE}
        try:
            assert_frame_equal(got, self.expected, **near)
        except AssertionError as error:
            what = "predicts its own examples otherwise than when it was registered"
            found = " ".join(str(error).split())[:300]
            advice = "serve with the libraries of its lock, or roll the stage back"
            raise Refused(what, file=self.version, found=found, do=advice) from error


@dataclass
class Follower:
    """Holds the version that serves, and replaces it when the stage moves.

    `resolve` says which version the stage has now (cheap, asked at every look), `load` fetches and
    verifies one (seconds); `failure` is why the version of the stage does not serve.
    """

    name: str
    stage: str
    resolve: Callable[[], str]
    load: Callable[[str], Served]
    served: Served | None = None
    failure: str | None = None

    def start(self) -> Served:
        """Take up the version of the stage, or raise what keeps it out."""
        version = self.resolve()
        if self.served is None or self.served.version != version:
            served = self.load(version)
            served.warm_up()
            self.served = served
            _log.info("%s@%s is %s", self.name, self.stage, version)
        return self.served

    def refresh(self) -> bool:
        """Take up the version of the stage; where it stays out, what served before serves on."""
        failure = None
        try:
            self.start()
        except Exception as error:  # whatever a version brings must not stop the server
            kind = "" if isinstance(error, MlopsError) else f"{type(error).__name__}: "
            failure = kind + " ".join(str(error).split())[:1000]
        if failure and failure != self.failure:
            _log.error("%s@%s stays out: %s", self.name, self.stage, failure)
        self.failure = failure
        return failure is None

    async def follow(self, interval: float) -> None:
        """Refresh for ever, every `interval` seconds, in a thread, so that requests go on."""
        while True:
            await asyncio.sleep(interval)
            await asyncio.to_thread(self.refresh)


def predict_file(
    project: Project,
    ref: str,
    path: Path,
    now: datetime,
    log: bool = True,
    store: ReleaseStore | None = None,
) -> tuple[pd.DataFrame, str]:
    """Predict a CSV or Parquet file with ``NAME@v1.2.0`` or ``NAME@STAGE``, and log it.

    The file has every feature; other columns do not matter. Where it has the model's id column,
    labels that arrive in label files can be joined to the logged predictions.

    Returns
    -------
    answers : DataFrame, shape (n_rows, 1 + n_outputs)
        ``id`` (that of the row where it has one, else the prediction's) and the model's outputs.
    version : str

    Raises
    ------
    UsageError
        When the file is not readable, or a column is missing or of the wrong type.
    Refused
        When the version does not verify.
    """
    bundle = fetch(project, ref, store)
    name, version = bundle.version.model, bundle.version.number
    spec, model = project.model(name), bundle.model()
    features = {f.name: f.kind for f in model.signature.features}
    data, key = spec.data, spec.data.id
    kinds = {**features, key: "category"} if key else features
    text = {column for column, kind in kinds.items() if kind == "category"}
    if not path.is_file():
        raise UsageError("there is no such file", file=str(path))
    frame, _ = read_table(path, str(path), tuple(kinds), text, data.delimiter, data.encoding)
    if not len(frame):
        raise UsageError("this file has a header and no rows", file=str(path), do="add rows")
    answers = model.predict(frame)
    ids = [new_id(now) for _ in frame.index]
    if log:
        outputs = answers.assign(row_id=frame[key]) if key in frame else answers
        out = PredictionLog(project.state, name, spec.sensitive)
        out.write(frame[list(features)], outputs, ids, version, now)
    answers.insert(0, "id", frame[key].where(frame[key].notna(), ids) if key in frame else ids)
    return answers, version


def follow(project: Project, name: str, stage: str, store: ReleaseStore | None = None) -> Follower:
    """Return a follower of a stage in the registry of this repository, not yet started."""
    hidden = project.model(name).sensitive

    def where() -> str:
        try:
            sync(project.root)
        except WorldError as error:  # what is known here still holds
            _log.warning("working on the tags that are here: %s", error)
        return resolve(read(project.root), f"{name}@{stage}").number

    def load(version: str) -> Served:
        import pandas as pd

        bundle = fetch(project, f"{name}@{version}", store)
        summary = bundle.manifest.model_dump(mode="json", include=_SHOWN)
        for feature in summary["signature"]["features"]:
            if feature["name"] in hidden:
                feature.update(low=None, high=None, categories=None)
        examples = json.loads(bundle.read("examples.json"))
        rows = pd.DataFrame([example["features"] for example in examples])
        expected = pd.DataFrame([example["expected"] for example in examples])
        return Served(version, bundle.model(), summary, rows, expected)

    return Follower(name, stage, where, load)


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket, or raise `WorldError`; port 0 takes any that is free."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        what = f"cannot listen here: {(error.strerror or str(error)).lower()}"
        advice = "stop what listens there, or choose another --port (0: any that is free)"
        raise WorldError(what, found=f"{host}:{port}", do=advice) from error


def serve(
    project: Project,
    name: str,
    stage: str,
    host: str,
    port: int,
    interval: float,
    store: ReleaseStore | None = None,
) -> None:
    """Serve a stage until the process is told to stop, looking at it every `interval` seconds.

    Nothing answers where the port is taken or the version of the stage cannot be served.
    """
    import uvicorn

    from mlops.serving.app import create_app

    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s")
    _log.setLevel(logging.INFO)
    with listen(host, port) as server:
        follower = follow(project, name, stage, store)
        served = follower.start()
        log = PredictionLog(project.state, name, project.model(name).sensitive)
        app = create_app(follower, log, lambda: datetime.now(UTC), interval)
        shown = f"[{host}]" if ":" in host else host
        address = f"http://{shown}:{server.getsockname()[1]}"
        print(f"{name} {served.version} ({stage}) on {address}", flush=True)
        config = uvicorn.Config(
            app, log_level="warning", access_log=False, timeout_graceful_shutdown=10
        )
        with suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[server])
