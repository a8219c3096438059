"""What an ONNX file may contain before anything loads it.

A graph of standard operators, and all of its numbers in the file itself: nothing that
reads another file, that runs code from a library, or that loops for ever.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

from mlops.errors import Refused

# ONNX's own operators and those for trees, encoders and linear models. Whatever else a
# runtime knows (com.microsoft, custom libraries) is refused.
_DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml"})

# Repeated as often as the data say.
_UNBOUNDED = frozenset({"Loop"})

# The messages and fields of ONNX that are looked at: number, type (a message by its
# name), whether it is repeated. Protocol Buffers skip all other fields.
_MESSAGES: dict[str, dict[str, tuple[int, str, bool]]] = {
    "Model": {
        "graph": (7, "Graph", False),
        "opsets": (8, "Opset", True),
        "training": (20, "Unread", True),
        "functions": (25, "Unread", True),
    },
    "Opset": {"domain": (1, "string", False)},
    "Graph": {
        "nodes": (1, "Node", True),
        "tensors": (5, "Tensor", True),
        "sparse": (15, "Unread", True),
    },
    "Node": {
        "operator": (4, "string", False),
        "attributes": (5, "Attribute", True),
        "domain": (7, "string", False),
    },
    "Attribute": {
        "tensor": (5, "Tensor", False),
        "graph": (6, "Graph", False),
        "tensors": (10, "Tensor", True),
        "graphs": (11, "Graph", True),
        "sparse": (22, "Unread", False),
        "sparses": (23, "Unread", True),
    },
    "Tensor": {"external": (13, "Unread", True), "location": (14, "int32", False)},
    "Unread": {},
}


def require_plain(content: bytes) -> None:
    """Refuse an ONNX file that may not be loaded.

    Parameters
    ----------
    content : bytes
        Bytes whose digest the caller has verified.

    Raises
    ------
    Refused
        When it is no ONNX file, has data outside of the file, or an operator that is
        not one of ONNX's own.
    """
    from google.protobuf.message import DecodeError

    model = _model_class()()
    try:
        model.ParseFromString(content)
    except DecodeError as error:
        raise _refused("it cannot be read") from error
    if not model.graph.nodes:
        raise _refused("it has no graph")
    if model.functions or model.training:
        raise _refused("it brings functions of its own")
    for opset in model.opsets:
        if opset.domain not in _DOMAINS:
            raise _refused(f"operators of {opset.domain[:80]}")
    for graph in _graphs(model.graph):
        _require_plain_graph(graph)


def _graphs(graph: Any) -> Iterator[Any]:
    """Yield a graph and those inside of its nodes."""
    yield graph
    for node in graph.nodes:
        for attribute in node.attributes:
            if attribute.HasField("graph"):
                yield from _graphs(attribute.graph)
            for inner in attribute.graphs:
                yield from _graphs(inner)


def _require_plain_graph(graph: Any) -> None:
    """Refuse operators and tensors of one graph that may not be."""
    if graph.sparse:
        raise _refused("sparse tensors")
    tensors = list(graph.tensors)
    for node in graph.nodes:
        if node.domain not in _DOMAINS or node.operator in _UNBOUNDED:
            raise _refused(f"the operator {node.domain[:80]} {node.operator[:80]}")
        for attribute in node.attributes:
            if attribute.HasField("sparse") or attribute.sparses:
                raise _refused("sparse tensors")
            if attribute.HasField("tensor"):
                tensors.append(attribute.tensor)
            tensors.extend(attribute.tensors)
    for tensor in tensors:
        if tensor.location or tensor.external:
            raise _refused("data outside of the file")


def _refused(problem: str) -> Refused:
    return Refused(
        f"not a compiled model of this engine: {problem}",
        do="run `mlops test` again, or register again",
    )


@cache
def _model_class() -> Any:
    """Return the class that reads what is looked at of an ONNX model."""
    from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
    from google.protobuf.descriptor_pool import DescriptorPool
    from google.protobuf.message_factory import GetMessageClass

    plain = {
        "string": FieldDescriptorProto.TYPE_STRING,
        "int32": FieldDescriptorProto.TYPE_INT32,
    }
    file = FileDescriptorProto(
        name="mlops/onnx_file.proto", package="mlops", syntax="proto2"
    )
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field_name, (number, kind, repeated) in fields.items():
            field = message.field.add(name=field_name, number=number)
            field.label = FieldDescriptorProto.LABEL_OPTIONAL
            if repeated:
                field.label = FieldDescriptorProto.LABEL_REPEATED
            if kind in plain:
                field.type = plain[kind]
            else:
                field.type = FieldDescriptorProto.TYPE_MESSAGE
                field.type_name = f".mlops.{kind}"
    pool = DescriptorPool()
    pool.Add(file)
    return GetMessageClass(pool.FindMessageTypeByName("mlops.Model"))
