"""From a fitted pipeline to ONNX, by skl2onnx.

Imported lazily: skl2onnx brings every estimator of scikit-learn.
"""

from __future__ import annotations

import warnings
from itertools import count
from typing import Any

import pandas as pd

from mlops.errors import UsageError, listed
from mlops.training.model import Model
from mlops.training.onnx_converters import Converters

# Fixed, so that the file depends on the model alone. Both are years old: whatever runs
# ONNX knows them.
_OPSETS = {"": 17, "ai.onnx.ml": 3}


def convert(model: Model, inputs: pd.DataFrame, double: bool = True) -> bytes:
    """Return the pipeline of a model in ONNX; the same bytes for the same model.

    Whether it can be loaded, and predicts what the pipeline does, is not known before
    that is tried.

    Parameters
    ----------
    inputs : DataFrame, shape (n_rows, n_features)
        What features.py makes of some rows; only the types are read.
    double : bool
        Whether numbers are float64, as in the pipeline. Not every converter has that.

    Raises
    ------
    UsageError
        For a column that is neither a number nor a text.
    Exception
        Whatever skl2onnx raises for an estimator that it does not know.
    """
    from skl2onnx import convert_sklearn

    pipeline = model.pipeline
    converters = Converters(double)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        converted = convert_sklearn(
            pipeline,
            name=model.name,  # by default a random one
            initial_types=_types(inputs, double),
            options=_options(model),
            target_opset=_OPSETS,
            custom_conversion_functions=converters.functions,
            custom_shape_calculators=converters.shapes,
        )
    _name_inputs(converted, [str(name) for name in inputs])
    # skl2onnx takes them from a set, whose order is chance.
    opsets = sorted(converted.opset_import, key=lambda opset: str(opset.domain))
    del converted.opset_import[:]
    converted.opset_import.extend(opsets)
    return bytes(converted.SerializeToString(deterministic=True))


def _name_inputs(converted: Any, names: list[str]) -> None:
    """Give the inputs of a converted pipeline the names of their features.

    skl2onnx makes identifiers of them: ``Monthly charges`` is ``Monthly_charges``
    there. The features come in their order, all of them. What has the name of a
    feature and is none gets another one.

    Raises
    ------
    UsageError
        Where there are others than were given.
    """
    graph = converted.graph
    if len(graph.input) != len(names):
        raise UsageError(
            "not the features that were given", found=f"{len(graph.input)} inputs"
        )
    renamed = {node.name: name for node, name in zip(graph.input, names, strict=True)}
    made = [*graph.initializer, *graph.output]
    inside = {one.name for one in made}
    inside.update(name for step in graph.node for name in step.output)
    free = (f"mlops_{number}" for number in count())
    for name in sorted(inside.intersection(names)):  # a feature may be named `label`
        renamed[name] = next(one for one in free if one not in {*inside, *names})
    for one in (*graph.input, *made):
        one.name = renamed.get(one.name, one.name)
    for step in graph.node:
        for tensors in (step.input, step.output):
            tensors[:] = [renamed.get(name, name) for name in tensors]


def _options(model: Model) -> dict[int, dict[str, bool]]:
    """Return the options of skl2onnx: probabilities as a plain array."""
    if model.signature.task == "regression":
        return {}
    return {id(model.pipeline): {"zipmap": False}}


def _types(inputs: pd.DataFrame, double: bool) -> list[tuple[str, Any]]:
    """Return the type of each input: one number or one text for each row."""
    from skl2onnx.common.data_types import (
        DoubleTensorType,
        FloatTensorType,
        StringTensorType,
    )

    number = DoubleTensorType if double else FloatTensorType
    types = []
    others = []
    for name, column in inputs.items():
        if pd.api.types.is_numeric_dtype(column.dtype):
            types.append((str(name), number([None, 1])))
        elif pd.api.types.infer_dtype(column, skipna=True) in ("string", "empty"):
            types.append((str(name), StringTensorType([None, 1])))
        else:
            others.append(f"{name}: {column.dtype}")
    if others:
        raise UsageError("not a number or a text", found=listed(others))
    return types
