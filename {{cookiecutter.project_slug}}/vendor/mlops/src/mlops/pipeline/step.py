"""The steps of a run, and what each of them writes."""

from __future__ import annotations

from dataclasses import dataclass

STEPS = ("validate", "train", "test", "gate", "report")

OUTPUTS = {
    "validate": ("validation.json", "snapshot.json", "snapshot.parquet"),
    "train": ("training.json", "model.skops", "features.py"),
    "test": ("evaluation.json", "reference.parquet", "examples.json"),
    "gate": ("verdict.json",),
    "report": ("spec.json", "report.md", "report.html", "card.md"),
}


@dataclass(frozen=True)
class Done:
    """How a stage went when it last ran."""

    inputs: str
    outputs: dict[str, str]
    ok: bool
    seconds: float
