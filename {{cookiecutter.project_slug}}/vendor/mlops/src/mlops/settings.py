"""Every environment variable of the engine, read and checked once.

`cli/main.py` and the command group read the process's environment here, at the edge;
everything below asks `current()`, or is handed the object. No other module reads
`os.environ` or the current folder. Nothing writes the environment but
`prepare_process`, before the libraries that read it are imported. What a child
process is given is made from `Settings.child_environment`.

A plain dataclass rather than pydantic-settings: `mlops --help` has 0.3 s, and
importing pydantic takes most of that.
"""

from __future__ import annotations

import math
import os
import platform
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType

from mlops.errors import Problem, UsageError, printable

# The greatest value of SOURCE_DATE_EPOCH: 9999-12-31T23:59:59Z, the last datetime.
LAST_SECOND = 253_402_300_799

_SHORTEST_KEY = 32  # characters

LONGEST_TIMEOUT = 3600.0  # seconds; a longer one hides that nobody answers
LONGEST_STEP = 5 * 24 * 3600.0  # seconds, as long as a self-hosted job may run


@dataclass(frozen=True)
class Variable:
    """One environment variable: its default in words, and what it is for."""

    name: str
    default: str
    purpose: str


# What users may set; docs/reference/environment.md is made from it.
VARIABLES = (
    Variable("MLOPS_CACHE", "`~/.cache/mlops`", "Folder for downloads."),
    Variable(
        "MLOPS_STATE",
        "`.mlops` in the repository",
        "Folder of the prediction logs.",
    ),
    Variable(
        "MLOPS_PREDICTIONS",
        "`predictions.store` of project.yaml",
        "Place that `serve` and `predict` bring the prediction log to, and that "
        "`monitor` reads: a folder, "
        "s3://BUCKET/PREFIX, or `artifacts`.",
    ),
    Variable(
        "MLOPS_DELIVERY_SECONDS",
        "300",
        "Seconds between two deliveries of a service's log to that place.",
    ),
    Variable(
        "MLOPS_ID_KEY",
        "one that the folder of MLOPS_STATE has",
        "Secret of at least 32 characters that hashes what rows belong to, and proves "
        "ids of predictions, the same on all machines that share a log; several, "
        "separated by commas: the first is used, ids of the others are recognised.",
    ),
    Variable(
        "MLOPS_STEP_SECONDS",
        "18000",
        "Longest time that the model's own code may take in one step.",
    ),
    Variable("MLOPS_HTTP_TIMEOUT", "30", "Seconds to wait for an answer over HTTP."),
    Variable(
        "MLOPS_RETRY_SECONDS",
        "1",
        "Seconds before the first retry of a request; doubled each time.",
    ),
    Variable(
        "MLOPS_GROUP", "none", "Group of the runs in the run log, like `--group`."
    ),
    Variable(
        "MLOPS_PASS",
        "none",
        "Names of variables, separated by commas, that the model's own code may see.",
    ),
    Variable(
        "SOURCE_DATE_EPOCH",
        "now",
        "Time to write into outputs, in seconds since 1970, for reproducible builds.",
    ),
    Variable(
        "MLOPS_SERVE_TOKENS",
        "none: no login",
        "SHA-256 of each token that `mlops serve` accepts, separated by commas; "
        "`NAME=SHA-256` gives a client its name in the metrics.",
    ),
    Variable(
        "AWS_ENDPOINT_URL",
        "that of Amazon S3",
        "Address of another store that speaks S3's protocol: MinIO, R2, Ceph. "
        "AWS_ENDPOINT_URL_S3 comes before it.",
    ),
    Variable(
        "AWS_ENDPOINT_URL_STS",
        "Amazon's, of the region",
        "Address of the service that hands out credentials of roles.",
    ),
    Variable(
        "AWS_REGION",
        "AWS_DEFAULT_REGION",
        "Region of the buckets.",
    ),
    Variable(
        "AWS_ROLE_ARN",
        "none",
        "Role that a job of GitHub Actions takes by OIDC to read buckets.",
    ),
    Variable("AWS_DEFAULT_REGION", "that of the bucket", "Region of the buckets."),
    Variable("NO_COLOR", "none", "If set, output has no colour."),
    Variable("TERM", "none", "If `dumb`, output has no colour."),
    Variable(
        "MLFLOW_TRACKING_URI", "none", "MLflow server that gets a copy of each run."
    ),
    Variable("MLFLOW_TRACKING_TOKEN", "none", "Token for the MLflow server."),
    Variable("MLFLOW_TRACKING_USERNAME", "none", "User name for the MLflow server."),
    Variable("MLFLOW_TRACKING_PASSWORD", "none", "Password for the MLflow server."),
    Variable(
        "GITHUB_TOKEN",
        "that of `gh auth login`",
        "Token for GitHub: releases, issues and comments.",
    ),
    Variable(
        "SETTINGS_TOKEN", "GITHUB_TOKEN", "Token for `mlops github plan` and `apply`."
    ),
    Variable(
        "MLOPS_WEBHOOK",
        "none",
        "https address that `mlops alarm` sends a message about each check to.",
    ),
    Variable("MLOPS_WEBHOOK_SECRET", "none", "Key of the signature of that message."),
    Variable("UPDATE_TOKEN", "none", "Token for `mlops github propose` and `retrain`."),
)

# What the system or GitHub Actions sets.
SYSTEM_VARIABLES = (
    Variable("GITHUB_ACTIONS", "none", "`true` in a job of GitHub Actions."),
    Variable("GITHUB_ACTOR", "none", "Who started the run."),
    Variable("GITHUB_TRIGGERING_ACTOR", "none", "Who started this attempt of the run."),
    Variable("GITHUB_EVENT_NAME", "none", "The event that started the run."),
    Variable("GITHUB_EVENT_PATH", "none", "File with the event."),
    Variable("GITHUB_OUTPUT", "none", "File for outputs that later jobs read."),
    Variable("GITHUB_STEP_SUMMARY", "none", "File for the summary of the job."),
    Variable("GITHUB_REF", "none", "The git reference of the run."),
    Variable("GITHUB_REPOSITORY", "that of origin", "`OWNER/NAME` of the repository."),
    Variable("GITHUB_RUN_ID", "none", "Number of the run."),
    Variable("GITHUB_SERVER_URL", "`https://github.com`", "Address of GitHub."),
    Variable("GITHUB_API_URL", "`https://api.github.com`", "Address of GitHub's API."),
    Variable(
        "ACTIONS_ID_TOKEN_REQUEST_URL",
        "none",
        "Where a job with `id-token: write` gets a token of OIDC.",
    ),
    Variable(
        "ACTIONS_ID_TOKEN_REQUEST_TOKEN", "none", "The token to get that one with."
    ),
    Variable("ATTESTATIONS", "none", "The repository variable of this name."),
    Variable("PAGES", "none", "The repository variable of this name."),
    Variable("GIT_CONFIG_COUNT", "0", "Settings of git that the environment carries."),
    Variable("XDG_CACHE_HOME", "none", "Where this system keeps caches (Linux)."),
    Variable("LOCALAPPDATA", "none", "Where this system keeps caches (Windows)."),
    Variable("HOME", "none", "The home folder."),
    Variable("USERPROFILE", "none", "The home folder (Windows)."),
    Variable("USER", "`unknown`", "Name of the account."),
    Variable("USERNAME", "`unknown`", "Name of the account (Windows)."),
)

# Credentials; their values stand in no field, and so in no `repr` and no message.
SECRETS = (
    "MLOPS_ID_KEY",
    "GITHUB_TOKEN",
    "SETTINGS_TOKEN",
    "UPDATE_TOKEN",
    "MLOPS_WEBHOOK",
    "MLOPS_WEBHOOK_SECRET",
    "MLFLOW_TRACKING_TOKEN",
    "MLFLOW_TRACKING_USERNAME",
    "MLFLOW_TRACKING_PASSWORD",
    "ACTIONS_ID_TOKEN_REQUEST_TOKEN",
)

# What a process that runs the model's own code is given, and nothing else: where
# programs, files and languages are, and how numerical libraries compute. A list of what
# is let through, because no list of names finds every secret (DATABASE_URL, say).
_FOR_USER_CODE = re.compile(
    r"PATH|HOME|USER|LOGNAME|USERNAME|SHELL|TERM|COLUMNS|NO_COLOR|TZ|CI"
    r"|LANG|LANGUAGE|LC_\w+|TMPDIR|TMP|TEMP|XDG_\w+_(HOME|DIR)"
    r"|PYTHON\w*|PYTEST_\w+|VIRTUAL_ENV|CONDA_PREFIX|(DY)?LD_LIBRARY_PATH"
    r"|(OMP|GOMP|KMP|MKL|NPY|OPENBLAS|BLIS|NUMEXPR|VECLIB|LOKY|JOBLIB|SKLEARN)_\w+"
    r"|(CUDA|NVIDIA)_\w+|(DASK|RAY)_\w+"
    r"|MPLBACKEND|MPLCONFIGDIR|GX_ANALYTICS_ENABLED|SOURCE_DATE_EPOCH"
    r"|MLOPS_(CACHE|STATE|PASS|STEP_SECONDS|HTTP_TIMEOUT|RETRY_SECONDS)"
    r"|SYSTEMROOT|SYSTEMDRIVE|WINDIR|COMSPEC|PATHEXT|USERPROFILE|(LOCAL)?APPDATA"
    r"|PROGRAMDATA|NUMBER_OF_PROCESSORS|PROCESSOR_\w+"
)

# The name of a client of a service: a value of a label in its metrics.
_CLIENT = re.compile(r"[A-Za-z0-9][\w.-]{0,63}", re.ASCII)

# Never given to user code, whatever MLOPS_PASS says.
_CREDENTIAL = re.compile(
    r"MLOPS_ID_KEY|.*(TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL|API_?KEY|ACCESS_KEY|WEBHOOK).*"
    r"|ACTIONS_.*|GITHUB_(ENV|OUTPUT|PATH|STATE|STEP_SUMMARY)"
)


@dataclass(frozen=True)
class GitHubRun:
    """What GitHub Actions tells a job about itself; empty strings on a laptop.

    Parameters
    ----------
    active : bool
        Whether this is a job of GitHub Actions (`GITHUB_ACTIONS`).
    actor, triggering_actor : str
        Who started the run, and who started this attempt of it.
    event_name : str
        The event, such as ``pull_request`` or ``schedule``.
    event_path, output_path, summary_path : Path or None
        The file of the event, and the files for outputs and for the run's page.
    ref, repository, run_id : str
        The git reference, ``OWNER/NAME`` and the number of the run.
    server, api : str
        The addresses of GitHub for people and git, and of its API.
    """

    active: bool = False
    actor: str = ""
    triggering_actor: str = ""
    event_name: str = ""
    event_path: Path | None = None
    output_path: Path | None = None
    summary_path: Path | None = None
    ref: str = ""
    repository: str = ""
    run_id: str = ""
    server: str = "https://github.com"
    api: str = "https://api.github.com"

    @property
    def scheduled(self) -> bool:
        """Whether a schedule started the run, and so no person did."""
        return self.event_name == "schedule"

    @property
    def is_mixed(self) -> bool:
        """Whether the API is that of github.com, and the repository is elsewhere."""
        default = GitHubRun()
        return self.api == default.api and self.server.rstrip("/") != default.server


@dataclass(frozen=True)
class Settings:
    """The environment of one run of a command, checked.

    Parameters
    ----------
    folder : Path
        The current folder when the command was started.
    environment : mapping
        The whole environment, for child processes.
    github : GitHubRun
    secrets : Secrets
    state : Path or None
        Folder of the prediction logs (`MLOPS_STATE`); None: `.mlops` in the repository.
    predictions : str
        Place of the prediction log (`MLOPS_PREDICTIONS`); empty: as project.yaml says.
    delivery_seconds : float
        Seconds between two deliveries of a service's log (`MLOPS_DELIVERY_SECONDS`).
    cache : Path
        Folder for downloads (`MLOPS_CACHE`, else where this system keeps caches).
    http_timeout : float
        Seconds without an answer until a request is given up (`MLOPS_HTTP_TIMEOUT`).
    step_seconds : float
        Seconds that a model's own code may take for one step (`MLOPS_STEP_SECONDS`);
        by default five hours, an hour less than a job of GitHub has.
    passed : tuple of str
        Further variables that the model's own code may see (`MLOPS_PASS`, separated by
        commas).
    serve_tokens : mapping of str to str
        SHA-256 of each bearer token that a service accepts (`MLOPS_SERVE_TOKENS`), and
        the name of its client; where there is none, a service asks for none.
    id_keys : tuple of bytes
        Digests of the keys of `MLOPS_ID_KEY`, the one in use first.
    retry_seconds : float
        Seconds before the first retry (`MLOPS_RETRY_SECONDS`); doubled each time.
    epoch : datetime or None
        The time to use instead of the clock's (`SOURCE_DATE_EPOCH`).
    git_config_count : int
        How many settings of git the environment carries (`GIT_CONFIG_COUNT`).
    group : str
        What runs are grouped by in the run log (`MLOPS_GROUP`).
    user : str
        The account's name on this machine.
    colour : bool
        False where `NO_COLOR` is set or the terminal is a dumb one.
    attestations, pages : str
        The repository variables of these names, as the workflows pass them on.
    mlflow_uri : str
        Address of an MLflow server that gets a copy of each run.
    s3_endpoint, s3_region : str
        Where buckets are; empty: Amazon S3, and the region of the bucket.
    sts_endpoint : str
        Where credentials of a role come from; empty: Amazon's, of the region.
    aws_role, id_token_url : str
        The role that a job takes, and where it gets its token of OIDC.
    """

    folder: Path
    environment: Mapping[str, str] = field(repr=False, compare=False)
    github: GitHubRun = GitHubRun()
    state: Path | None = None
    predictions: str = ""
    delivery_seconds: float = 300.0
    cache: Path = Path()
    http_timeout: float = 30.0
    step_seconds: float = 18_000.0
    passed: tuple[str, ...] = ()
    serve_tokens: Mapping[str, str] = field(default_factory=dict)
    id_keys: tuple[bytes, ...] = field(default=(), repr=False)
    retry_seconds: float = 1.0
    epoch: datetime | None = None
    git_config_count: int = 0
    group: str = ""
    user: str = "unknown"
    colour: bool = True
    attestations: str = ""
    pages: str = ""
    mlflow_uri: str = ""
    s3_endpoint: str = ""
    s3_region: str = ""
    sts_endpoint: str = ""
    aws_role: str = ""
    id_token_url: str = ""

    def now(self) -> datetime:
        """Return the present time, or that of `SOURCE_DATE_EPOCH`."""
        return self.epoch or datetime.now(UTC)

    def secret(self, name: str) -> str:
        """Return the credential in a variable, empty where it is not set.

        Parameters
        ----------
        name : str
            One of `SECRETS`.
        """
        if name not in SECRETS:
            raise ValueError(f"{name} is not in settings.SECRETS")
        return self.environment.get(name, "")

    def child_environment(self, **changes: str | None) -> dict[str, str]:
        """Return the environment for a child process.

        Parameters
        ----------
        **changes : str or None
            Variables to set; None removes one.
        """
        environment = dict(self.environment)
        for name, value in changes.items():
            if value is None:
                environment.pop(name, None)
            else:
                environment[name] = value
        return environment

    def user_code_environment(self, **changes: str) -> dict[str, str]:
        """Return the environment for a process that runs the model's own code.

        It has what programs need to run and what `MLOPS_PASS` names. It never has a
        credential, nor the files by which a job of GitHub Actions is told what to do
        next.

        Parameters
        ----------
        **changes : str
            Variables to set.
        """
        environment = {}
        for name, value in self.environment.items():
            is_usual = _FOR_USER_CODE.fullmatch(name.upper()) is not None
            is_credential = _CREDENTIAL.fullmatch(name.upper()) is not None
            if (is_usual or name in self.passed) and not is_credential:
                environment[name] = value
        environment.update(changes)
        return environment


def from_environment(environment: Mapping[str, str], folder: Path) -> Settings:
    """Return the settings that an environment makes.

    Parameters
    ----------
    environment : mapping
        Names and values of variables, as in `os.environ`.
    folder : Path
        The current folder.

    Raises
    ------
    UsageError
        With one problem for every variable whose value makes no sense.
    """
    problems: list[Problem] = []
    get = environment.get
    settings = Settings(
        folder=folder,
        environment=MappingProxyType(dict(environment)),
        github=_github_run(environment),
        state=_path(get("MLOPS_STATE")),
        predictions=get("MLOPS_PREDICTIONS", ""),
        delivery_seconds=_seconds(
            environment, "MLOPS_DELIVERY_SECONDS", 300.0, problems
        ),
        cache=_cache(environment),
        http_timeout=_seconds(environment, "MLOPS_HTTP_TIMEOUT", 30.0, problems),
        step_seconds=_seconds(
            environment, "MLOPS_STEP_SECONDS", 18_000.0, problems, LONGEST_STEP
        ),
        passed=_passed(environment, problems),
        id_keys=_id_keys(environment, problems),
        serve_tokens=_tokens(environment, "MLOPS_SERVE_TOKENS", problems),
        retry_seconds=_seconds(environment, "MLOPS_RETRY_SECONDS", 1.0, problems),
        epoch=_epoch(environment, problems),
        git_config_count=_count(environment, "GIT_CONFIG_COUNT", problems),
        group=get("MLOPS_GROUP", ""),
        user=get("USER") or get("USERNAME") or "unknown",
        colour=not get("NO_COLOR") and get("TERM") != "dumb",
        attestations=_word(environment, "ATTESTATIONS", ("on", "off"), problems),
        pages=get("PAGES", "").lower(),
        mlflow_uri=get("MLFLOW_TRACKING_URI", ""),
        s3_endpoint=get("AWS_ENDPOINT_URL_S3") or get("AWS_ENDPOINT_URL") or "",
        s3_region=get("AWS_REGION") or get("AWS_DEFAULT_REGION") or "",
        sts_endpoint=get("AWS_ENDPOINT_URL_STS", ""),
        aws_role=get("AWS_ROLE_ARN", ""),
        id_token_url=get("ACTIONS_ID_TOKEN_REQUEST_URL", ""),
    )
    if problems:
        raise UsageError(*problems)
    return settings


def _github_run(environment: Mapping[str, str]) -> GitHubRun:
    get = environment.get
    default = GitHubRun()
    return GitHubRun(
        active=get("GITHUB_ACTIONS") == "true",
        actor=get("GITHUB_ACTOR", ""),
        triggering_actor=get("GITHUB_TRIGGERING_ACTOR", ""),
        event_name=get("GITHUB_EVENT_NAME", ""),
        event_path=_path(get("GITHUB_EVENT_PATH")),
        output_path=_path(get("GITHUB_OUTPUT")),
        summary_path=_path(get("GITHUB_STEP_SUMMARY")),
        ref=get("GITHUB_REF", ""),
        repository=get("GITHUB_REPOSITORY", ""),
        run_id=get("GITHUB_RUN_ID", ""),
        server=get("GITHUB_SERVER_URL") or default.server,
        api=get("GITHUB_API_URL") or default.api,
    )


def _path(text: str | None) -> Path | None:
    return Path(text) if text else None


def _cache(environment: Mapping[str, str]) -> Path:
    """Return the folder for downloads: the user's own, or where the system has them."""
    own = environment.get("MLOPS_CACHE")
    if own:
        return Path(own)
    shared = environment.get("XDG_CACHE_HOME") or environment.get("LOCALAPPDATA")
    if shared:
        return Path(shared, "mlops")
    home = environment.get("HOME") or environment.get("USERPROFILE")
    if home:
        return Path(home, ".cache", "mlops")
    with suppress(RuntimeError):  # no variable names a home: the account's may
        return Path.home() / ".cache" / "mlops"
    return Path(".cache", "mlops")


def _seconds(
    environment: Mapping[str, str],
    name: str,
    default: float,
    problems: list[Problem],
    longest: float = LONGEST_TIMEOUT,
) -> float:
    """Return a length of time; add a problem where the value is none."""
    text = environment.get(name)
    if not text:
        return default
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if 0 < value <= longest:
        return value
    problems.append(
        Problem(
            "this environment variable is not a number of seconds",
            key=name,
            found=printable(text, 80),
            allowed=f"more than 0, at most {longest:.0f}",
            do=f"correct it or `unset {name}`",
        )
    )
    return default


def _passed(environment: Mapping[str, str], problems: list[Problem]) -> tuple[str, ...]:
    """Return the variables of MLOPS_PASS; add a problem for each credential in it."""
    text = environment.get("MLOPS_PASS", "")
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    for name in names:
        if _CREDENTIAL.fullmatch(name.upper()):
            problems.append(
                Problem(
                    "a model's own code cannot be given credentials",
                    key="MLOPS_PASS",
                    found=printable(name, 80),
                    allowed="variables that hold no secret",
                    do="read the data before the run; data.source names where it is",
                )
            )
    return names


def _id_keys(
    environment: Mapping[str, str], problems: list[Problem]
) -> tuple[bytes, ...]:
    """Return digests of the keys of MLOPS_ID_KEY.

    Adds a problem, without the text, for a key that is too short: it could be guessed,
    and with it who is in the log.
    """
    text = environment.get("MLOPS_ID_KEY", "").strip()
    if not text:
        return ()
    keys = [part.strip() for part in text.split(",")]
    short = [str(n) for n, key in enumerate(keys, start=1) if len(key) < _SHORTEST_KEY]
    if short:
        problems.append(
            Problem(
                "this environment variable has a key that is too short",
                key="MLOPS_ID_KEY",
                found=f"key {', '.join(short)} of {len(keys)}",
                allowed=f"at least {_SHORTEST_KEY} characters each",
                do="make one with `openssl rand -hex 32`",
            )
        )
        return ()
    return tuple(sha256(key.encode()).digest() for key in keys)


def _tokens(
    environment: Mapping[str, str], name: str, problems: list[Problem]
) -> dict[str, str]:
    """Return SHA-256 digests of tokens with the names of their clients.

    Adds a problem, without the text, for what is none: an unreadable list of tokens
    must not mean that none is needed. A client may have several tokens, so that one can
    be changed without a pause; a token has one client.
    """
    text = environment.get(name)
    if text is None:
        return {}
    clients: dict[str, str] = {}
    for number, part in enumerate(text.split(","), start=1):
        client, named, digest = part.strip().rpartition("=")
        digest = digest.strip().lower()
        client = client.strip() if named else f"client-{number}"
        is_digest = re.fullmatch("[0-9a-f]{64}", digest) is not None
        if not is_digest or not _CLIENT.fullmatch(client):
            problems.append(
                Problem(
                    "this environment variable is not a list of SHA-256 digests",
                    key=name,
                    allowed="64 hexadecimal digits for each token, separated by "
                    "commas; before them NAME= where the client has a name",
                    do="make one with `printf %s TOKEN | sha256sum`",
                )
            )
            return {}
        if named and clients.get(digest, client) != client:
            problems.append(
                Problem(
                    "this environment variable has one token for two clients",
                    key=name,
                    found=f"{clients[digest]}, {client}",
                    do="give each client a token of its own",
                )
            )
        clients.setdefault(digest, client)
    return clients


def _count(environment: Mapping[str, str], name: str, problems: list[Problem]) -> int:
    """Return a whole number of at most 999; add a problem where the value is none."""
    text = environment.get(name)
    if not text:
        return 0
    if text.isascii() and text.isdigit() and len(text) <= 3:
        return int(text)
    problems.append(
        Problem(
            "this environment variable is not a count",
            key=name,
            found=printable(text, 80),
            allowed="0 to 999",
            do=f"correct it or `unset {name}`",
        )
    )
    return 0


def _epoch(environment: Mapping[str, str], problems: list[Problem]) -> datetime | None:
    """Return the time that SOURCE_DATE_EPOCH names; add a problem where it is none."""
    text = environment.get("SOURCE_DATE_EPOCH")
    if not text:
        return None
    if text.isascii() and text.isdigit() and len(text) <= 12:
        seconds = int(text)
        if seconds <= LAST_SECOND:
            return datetime.fromtimestamp(seconds, UTC)
    problems.append(
        Problem(
            "this environment variable is not a time",
            key="SOURCE_DATE_EPOCH",
            found=printable(text, 80),
            allowed="whole seconds since 1970-01-01, such as 1764374400",
            do="correct it or `unset SOURCE_DATE_EPOCH`",
        )
    )
    return None


def _word(
    environment: Mapping[str, str],
    name: str,
    allowed: tuple[str, ...],
    problems: list[Problem],
) -> str:
    """Return a word out of a few, empty where it is not set.

    As in the conditions of workflows, capitals are small letters.
    """
    text = environment.get(name, "")
    if text and text.lower() not in allowed:
        problems.append(
            Problem(
                "this environment variable has a value that is not known",
                key=name,
                found=printable(text, 80),
                allowed=", ".join(allowed),
                do=f"correct the variable {name} of the repository",
            )
        )
    return text.lower()


# -- the settings of this process ------------------------------------------------------

_current: Settings | None = None


def current() -> Settings:
    """Return the settings in force: those of `using`, else the environment's, read now.

    Raises
    ------
    UsageError
        When a variable has a value that makes no sense.
    """
    if _current is not None:
        return _current
    return read()


def read() -> Settings:
    """Return the settings of this process, from its environment and current folder."""
    try:
        folder = Path.cwd()
    except FileNotFoundError as error:
        raise UsageError(
            "the current folder was deleted", do="cd into a folder that exists"
        ) from error
    return from_environment(os.environ, folder)


@contextmanager
def using(settings: Settings) -> Iterator[Settings]:
    """Put settings in force, in all threads, until the block ends."""
    global _current
    before = _current
    _current = settings
    try:
        yield settings
    finally:
        _current = before


@contextmanager
def changed(**fields: object) -> Iterator[Settings]:
    """Put changed settings in force until the block ends; for tests and services."""
    with using(replace(current(), **fields)) as settings:  # type: ignore[arg-type]
        yield settings


# -- the one place that writes the environment -----------------------------------------


def prepare_process() -> None:
    """Set what numerical libraries read when they are imported.

    It runs before they are, and changes what the user has set only where it says so:

    - OpenMP threads that spin while they wait slow everything down on busy machines.
    - Great Expectations sends nothing home.
    - onnxruntime, from 1.31 on, sends events to its makers and leaves the id of the
      machine in the home folder; this is off whatever the user has set.
    - OpenBLAS and numpy compute alike on every x86-64 with AVX2 (`alike_kernels`).
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    if platform.machine() != "x86_64":
        return
    with suppress(OSError), Path("/proc/cpuinfo").open() as cpu:
        for name, value in alike_kernels(cpu.read(1 << 14)).items():
            os.environ.setdefault(name, value)


# What numpy has faster code for, beyond AVX2, and by which flags of the processor it
# takes that code.
_BEYOND_AVX2 = {
    "X86_V4": {"avx512f", "avx512cd", "avx512bw", "avx512dq", "avx512vl"},
    "AVX512_ICL": {"avx512_vbmi2", "avx512_vnni", "avx512_bitalg", "vpclmulqdq"},
    "AVX512_SPR": {"avx512_fp16"},
}


def alike_kernels(cpuinfo: str) -> dict[str, str]:
    """Return the variables by which every x86-64 with AVX2 computes the same bits.

    By default the processor decides in which order OpenBLAS and numpy add, and with it
    the last bits of a model: GitHub's hosted runners are of several kinds, with and
    without AVX-512.

    Parameters
    ----------
    cpuinfo : str
        The beginning of /proc/cpuinfo: the first processor at least.

    Returns
    -------
    dict of str to str
        Empty for a processor without AVX2. numpy is told only of what the processor
        has: it warns of everything else.
    """
    _, _, after = cpuinfo.partition("\nflags")
    flags = set(after.partition("\n")[0].split())
    if "avx2" not in flags:
        return {}
    variables = {"OPENBLAS_CORETYPE": "Haswell"}
    disabled = [name for name, needed in _BEYOND_AVX2.items() if needed <= flags]
    if disabled:
        variables["NPY_DISABLE_CPU_FEATURES"] = " ".join(disabled)
    return variables
