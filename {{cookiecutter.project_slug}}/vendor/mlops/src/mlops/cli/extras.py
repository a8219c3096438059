"""Which extra a command needs, and what to say where it is not installed."""

from __future__ import annotations

from mlops.errors import EnvironmentFailure

# The extra of the engine's pyproject.toml that a command needs; the others need none.
EXTRAS = {
    "new": "train",
    "validate": "train",
    "train": "train",
    "test": "train",
    "gate": "train",
    "report": "train",
    "run": "train",
    "sweep": "train",
    "register": "train",
    "reproduce": "train",
    "data": "train",
    "predict": "serve",
    "explain": "serve",
    "replay": "serve",
    "canary": "train",
    "serve": "serve",
    "serve-worker": "serve",
    "deliver": "serve",
    "deliver-worker": "serve",
    "smoke": "serve",
    "monitor": "monitor",
}

# Commands that run the code of a model or of a data contract. Every other one is kept
# from it, so that a job with a token that may write can run it.
RUNS_MODEL_CODE = frozenset(EXTRAS) - {
    "register",
    "data",
    "canary",
    "deliver",
    "deliver-worker",
}

# Commands of a group that needs an extra, which themselves need none of it, and run no
# code of a model.
LIGHT = frozenset({("monitor", "accept"), ("monitor", "history")})

# What the extras install, by the name that is imported.
MODULES = {
    "cloudpickle": "train",
    "evidently": "monitor",
    "fairlearn": "train",
    "fastapi": "serve",
    "google": "train",
    "great_expectations": "train",
    "httptools": "serve",
    "joblib": "train",
    "matplotlib": "train",
    "numpy": "train",
    "onnx": "train",
    "onnxruntime": "train",
    "orjson": "serve",
    "pandas": "train",
    "prometheus_client": "serve",
    "pyarrow": "train",
    "pytest": "train",
    "scipy": "train",
    "skl2onnx": "train",
    "sklearn": "train",
    "skops": "train",
    "starlette": "serve",
    "threadpoolctl": "train",
    "uvicorn": "serve",
    "uvloop": "serve",
}


def missing_extra(
    error: ModuleNotFoundError, command: str | None
) -> EnvironmentFailure | None:
    """Return what to say where a package of an extra is missing; None if it is of none.

    Parameters
    ----------
    error : ModuleNotFoundError
        What Python said.
    command : str, optional
        The command that was run: where it needs an extra, that one is named.
    """
    module = (error.name or "").partition(".")[0]
    if module not in MODULES:
        return None
    extra = EXTRAS.get(command or "", MODULES[module])
    return EnvironmentFailure(
        f"this needs the packages of the extra `{extra}`",
        found=f"{module} is not installed",
        do=f"run `make setup KIND={extra}`, or `make setup` for everything",
    )
