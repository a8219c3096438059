"""Whether the pipeline of a model was compiled for the service, and what proved it."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from mlops.results.base import StoredResult

# The compiled pipeline, in ONNX. `model.skops` stays the format of record.
COMPILED = "model.onnx"


class Compilation(StoredResult):
    """What came of compiling a fitted pipeline in the test step."""

    FILE: ClassVar[str] = "compiled.json"

    ok: bool = Field(description="Whether the service may use the compiled pipeline.")
    reason: str = Field(
        default="", description="Why it may not; empty where it may, or was not asked."
    )
    rows: int = Field(default=0, description="Rows on which both were compared.")
    difference: float = Field(
        default=0,
        description="Largest difference of a probability; for regression relative to "
        "the prediction where that is larger than 1.",
    )
    tolerance: float = Field(
        default=0, description="The largest difference that model.yaml allows."
    )
    model_sha256: str = Field(default="", description="Of the model.skops compiled.")
    compiled_sha256: str = Field(
        default="", description="Of model.onnx; empty where there is none."
    )
