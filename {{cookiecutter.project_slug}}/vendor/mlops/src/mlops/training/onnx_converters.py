"""Converters of the usual preprocessing to ONNX, in float64 where that is wanted.

skl2onnx has converters of its own for these. They compute in float32 whatever the
inputs are, and a value that is rounded beside the threshold of a tree is sent the other
way: scikit-learn puts thresholds on values that occur. One-hot encoding raises for a
category that was never seen where scikit-learn counts it with the rare ones, and knows
rare ones of several columns only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import is_classifier
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from mlops.training.compiled import MISSING

_TREES_OF_FLOAT64 = (HistGradientBoostingClassifier, HistGradientBoostingRegressor)

_TREES_OF_FLOAT32 = (
    DecisionTreeClassifier,
    DecisionTreeRegressor,
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)

_NOWHERE = -1  # no position: all zeros

Functions = dict[type, Callable[..., None]]


class NotConvertible(Exception):
    """An estimator, or a setting of one, that no converter writes: the pipeline serves.

    The message names it; the run and the service show it as the reason.
    """


class Converters:
    """Converters and shape calculators as `skl2onnx.convert_sklearn` takes them.

    Parameters
    ----------
    double : bool
        Whether numbers are float64; they are float32 otherwise.
    """

    def __init__(self, double: bool) -> None:
        self._double = double

    @property
    def functions(self) -> Functions:
        """By class: what adds its nodes to a graph."""
        functions: Functions = {
            OneHotEncoder: self._one_hot,
            SimpleImputer: self._imputer,
            StandardScaler: self._scaler,
        }
        if self._double:
            functions |= dict.fromkeys(_TREES_OF_FLOAT64, self._float64_trees)
            functions |= dict.fromkeys(_TREES_OF_FLOAT32, self._float32_trees)
        return functions

    @property
    def shapes(self) -> Functions:
        """By class: what sets the shape of its output."""
        shapes: Functions = {
            OneHotEncoder: self._one_hot_shape,
            SimpleImputer: self._same_shape,
            StandardScaler: self._same_shape,
        }
        if self._double:
            trees = _TREES_OF_FLOAT64 + _TREES_OF_FLOAT32
            shapes |= dict.fromkeys(trees, self._tree_shape)
        return shapes

    def _same_shape(self, operator: Any) -> None:
        """Give as many columns as come, of numbers or of texts."""
        rows = operator.inputs[0].get_first_dimension()
        width = sum(one.type.shape[1] for one in operator.inputs)
        kind = type(operator.inputs[0].type)
        if kind.__name__ != "StringTensorType":
            kind = _tensor_type(self._double)
        operator.outputs[0].type = kind([rows, width])

    def _tree_shape(self, operator: Any) -> None:
        """Give float32, as ONNX's trees do whatever they take."""
        from skl2onnx.common._registration import get_shape_calculator

        get_shape_calculator(operator.type)(operator)
        output = operator.outputs[-1]  # a classifier's first output is the label
        output.type = _tensor_type(double=False)(output.type.shape)

    def _one_hot_shape(self, operator: Any) -> None:
        rows = operator.inputs[0].get_first_dimension()
        width = sum(table.size for table in tables(operator.raw_operator))
        operator.outputs[0].type = _tensor_type(self._double)([rows, width])

    def _scaler(self, scope: Any, operator: Any, container: Any) -> None:
        """Subtract the mean and divide by the scale, as scikit-learn does."""
        scaler = operator.raw_operator
        nodes = _Nodes(scope, container, self._double)
        column = nodes.joined(operator.inputs)
        if scaler.with_mean:
            column = nodes.add("Sub", [column, nodes.numbers(scaler.mean_)])
        if scaler.with_std:
            column = nodes.add("Div", [column, nodes.numbers(scaler.scale_)])
        nodes.add_named("Identity", [column], _output(operator))

    def _imputer(self, scope: Any, operator: Any, container: Any) -> None:
        """Put a number where none is; texts are imputed as skl2onnx does."""
        from skl2onnx.common.data_types import StringTensorType
        from skl2onnx.operator_converters.imputer_op import convert_sklearn_imputer

        imputer = operator.raw_operator
        if imputer.add_indicator:
            raise NotConvertible("SimpleImputer(add_indicator=True)")
        if isinstance(operator.inputs[0].type, StringTensorType):
            convert_sklearn_imputer(scope, operator, container)
            return
        statistics = np.asarray(imputer.statistics_, dtype="float64")
        is_nan = isinstance(imputer.missing_values, float)
        if np.isnan(statistics).any() or not is_nan:
            raise NotConvertible("SimpleImputer of columns without values")
        nodes = _Nodes(scope, container, self._double)
        column = nodes.joined(operator.inputs)
        missing = nodes.add("IsNaN", [column])
        inputs = [missing, nodes.numbers(statistics), column]
        nodes.add_named("Where", inputs, _output(operator))

    def _float64_trees(self, scope: Any, operator: Any, container: Any) -> None:
        """Convert trees that compare float64, with their thresholds in full."""
        from skl2onnx.common._registration import get_converter

        kind = "TreeEnsembleRegressor"
        if is_classifier(operator.raw_operator):
            kind = "TreeEnsembleClassifier"
        before = len(container.nodes)
        convert = get_converter(operator.type)
        # Thresholds of float64 are new in version 3 of the operator.
        convert(scope, operator, container, kind, "ai.onnx.ml", 3)
        for node in container.nodes[before:]:
            if node.op_type == kind:
                _set_thresholds(node, operator.raw_operator)

    def _float32_trees(self, scope: Any, operator: Any, container: Any) -> None:
        """Convert trees that round to float32, and compare that.

        skl2onnx is told that float32 comes: for float64 it never ends where a threshold
        is infinite.
        """
        from skl2onnx.common._registration import get_converter
        from skl2onnx.proto import onnx_proto

        types = [one.type for one in operator.inputs]
        for one in operator.inputs:
            one.type = _tensor_type(double=False)(one.type.shape)
        before = len(container.nodes)
        get_converter(operator.type)(scope, operator, container)
        for one, declared in zip(operator.inputs, types, strict=True):
            one.type = declared
        nodes = _Nodes(scope, container, self._double)
        single = onnx_proto.TensorProto.FLOAT
        for node in container.nodes[before:]:
            if node.op_type.startswith("TreeEnsemble"):
                node.input[0] = nodes.add("Cast", [node.input[0]], to=single)

    def _one_hot(self, scope: Any, operator: Any, container: Any) -> None:
        """Convert a OneHotEncoder of texts; any other as skl2onnx does."""
        from skl2onnx.common.data_types import StringTensorType
        from skl2onnx.operator_converters.one_hot_encoder import (
            convert_sklearn_one_hot_encoder,
        )

        encoder = operator.raw_operator
        texts = all(isinstance(one.type, StringTensorType) for one in operator.inputs)
        if not texts or encoder.handle_unknown == "error":
            convert_sklearn_one_hot_encoder(scope, operator, container)
            return
        nodes = _Nodes(scope, container, self._double)
        parts = []
        columns = nodes.columns(operator.inputs)
        for column, table in zip(columns, tables(encoder), strict=True):
            if table.size:
                parts.append(_looked_up(nodes, column, table))
        nodes.add_named("Concat", parts, _output(operator), axis=1)


# -- one-hot encoding ------------------------------------------------------------------


@dataclass(frozen=True)
class EncodingTable:
    """Where the categories of one column are in what an encoder returns.

    Parameters
    ----------
    positions : dict of str to int
        By category; -1 for one that is dropped.
    size : int
        How many positions the column has.
    unknown : int
        The position of a category that was never seen.
    """

    positions: dict[str, int]
    size: int
    unknown: int


def tables(encoder: OneHotEncoder) -> Iterator[EncodingTable]:
    """Yield the table of each column of a fitted encoder.

    Its categories in order, then one position for all rare ones; a dropped category has
    none.
    """
    rare_by_column = getattr(encoder, "infrequent_categories_", None)
    for number, categories in enumerate(encoder.categories_):
        rare = _of_column(rare_by_column, number)
        dropped = _of_column(encoder.drop_idx_, number)
        texts = [_text(category) for category in categories]
        rare_texts = [_text(category) for category in (() if rare is None else rare)]
        groups = [[text] for text in texts if text not in rare_texts]
        if rare_texts:
            groups.append(rare_texts)
        if dropped is not None:
            groups = [group for group in groups if texts[dropped] not in group]
        positions = dict.fromkeys(texts, _NOWHERE)
        for position, group in enumerate(groups):
            positions.update(dict.fromkeys(group, position))
        unknown = _NOWHERE
        if rare_texts and encoder.handle_unknown != "ignore":
            unknown = positions[rare_texts[0]]
        yield EncodingTable(positions, len(groups), unknown)


def _of_column(values: Any, number: int) -> Any:
    """Return what scikit-learn knows of one column, None where it knows nothing."""
    return None if values is None else values[number]


def _text(category: Any) -> str:
    """Return a category as ONNX is given it; one that is missing is NaN or None."""
    if category is None or category != category:
        return MISSING
    return str(category)


def _looked_up(nodes: _Nodes, column: str, table: EncodingTable) -> str:
    """Look a category up in a table, which says at which position its 1 is."""
    position = nodes.add(
        "LabelEncoder",
        [column],
        op_domain="ai.onnx.ml",
        op_version=2,
        keys_strings=[text.encode() for text in table.positions],
        values_int64s=list(table.positions.values()),
        default_int64=table.unknown,
    )
    hit = nodes.add("Equal", [position, nodes.integers(range(table.size))])
    return nodes.add("Cast", [hit], to=nodes.kind)


# -- trees -----------------------------------------------------------------------------


def _set_thresholds(node: Any, trees: Any) -> None:
    """Give a node the thresholds of gradient boosting in full.

    Raises
    ------
    NotConvertible
        When they are not those that skl2onnx has rounded, in its order.
    """
    from onnx import TensorProto, helper

    thresholds = []
    for iteration in trees._predictors:
        for tree in iteration:
            inner = tree.nodes["is_leaf"] == 0
            thresholds.append(np.where(inner, tree.nodes["num_threshold"], 0.0))
    exact = np.concatenate(thresholds)
    for attribute in node.attribute:
        if attribute.name == "nodes_values":
            rounded = np.asarray(attribute.floats, dtype="float32")
            break
    else:
        raise NotConvertible("thresholds of gradient boosting")
    if not np.array_equal(exact.astype("float32"), rounded):
        raise NotConvertible("thresholds of gradient boosting")
    node.attribute.remove(attribute)
    name = "nodes_values_as_tensor"
    tensor = helper.make_tensor(name, TensorProto.DOUBLE, [len(exact)], exact.tolist())
    node.attribute.append(helper.make_attribute(name, tensor))


# -- the graph -------------------------------------------------------------------------


class _Nodes:
    """Adds nodes to a graph under names that are free.

    `kind` is ONNX's number of the type of numbers.
    """

    def __init__(self, scope: Any, container: Any, double: bool) -> None:
        from skl2onnx.proto import onnx_proto

        self._scope = scope
        self._container = container
        self._integer = onnx_proto.TensorProto.INT64
        self.kind = onnx_proto.TensorProto.FLOAT
        if double:
            self.kind = onnx_proto.TensorProto.DOUBLE

    def add(self, operator: str, inputs: list[str], **attributes: Any) -> str:
        """Add a node and return the name of its output."""
        output = self.name(operator.lower())
        self.add_named(operator, inputs, output, **attributes)
        return output

    def add_named(
        self, operator: str, inputs: list[str], output: str, **attributes: Any
    ) -> None:
        """Add a node whose output has a name already."""
        attributes.setdefault("op_version", 13)
        name = self._scope.get_unique_operator_name(operator)
        self._container.add_node(operator, inputs, [output], name=name, **attributes)

    def name(self, start: str) -> str:
        """Return a name that is free."""
        return str(self._scope.get_unique_variable_name(start))

    def numbers(self, values: NDArray[Any]) -> str:
        """Return the name of a constant row of numbers."""
        plain = [float(value) for value in values]
        return self._constant(self.kind, [1, len(plain)], plain)

    def integers(self, values: range) -> str:
        """Return the name of a constant list of integers."""
        return self._constant(self._integer, [len(values)], list(values))

    def joined(self, inputs: list[Any]) -> str:
        """Return the name of all inputs side by side, as numbers."""
        names = [self.add("Cast", [one.full_name], to=self.kind) for one in inputs]
        return names[0] if len(names) == 1 else self.add("Concat", names, axis=1)

    def columns(self, inputs: list[Any]) -> list[str]:
        """Return the name of each column of the inputs."""
        names = []
        for one in inputs:
            width = one.type.shape[1]
            if width == 1:
                names.append(one.full_name)
                continue
            for number in range(width):
                position = self.integers(range(number, number + 1))
                names.append(self.add("Gather", [one.full_name, position], axis=1))
        return names

    def _constant(self, kind: Any, shape: list[int], values: list[Any]) -> str:
        name = self.name("constant")
        self._container.add_initializer(name, kind, shape, values)
        return name


def _output(operator: Any) -> str:
    """Return the name of what an operator gives."""
    return str(operator.outputs[0].full_name)


def _tensor_type(double: bool) -> Any:
    """Return skl2onnx's type of an array of numbers."""
    from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType

    return DoubleTensorType if double else FloatTensorType
