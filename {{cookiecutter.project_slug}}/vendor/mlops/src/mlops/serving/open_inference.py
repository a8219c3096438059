"""The Open Inference Protocol, version 2 (REST): the same model in tensors.

One tensor for each feature, of shape ``[n]`` or ``[n, 1]``; rows, checks, predictions
and log are those of ``/predict``. The specification is the repository
``open-inference-protocol`` of ``open-inference`` on GitHub.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from mlops.errors import Problem, UsageError, did_you_mean, listed
from mlops.results.training import Feature, Signature
from mlops.serving.requests import MAX_ROWS, brief

PREFIX = "/v2"

# What probes ask: without a token, and as often as they like.
OPEN = ("/health/", f"{PREFIX}/health/")

Rows = list[dict[str, Any]]

_WHOLE = frozenset(f"{sign}INT{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64))
_REAL = frozenset({"FP16", "FP32", "FP64"})

# What a feature may be sent as; the first is what the metadata names.
_DATATYPES: dict[str, tuple[str, ...]] = {
    "number": ("FP64", *sorted(_REAL - {"FP64"}), *sorted(_WHOLE)),
    "boolean": ("BOOL",),
    "category": ("BYTES", *sorted(_WHOLE)),
    "text": ("BYTES",),
    "date": ("BYTES",),
}

_IDS = "id"
_MOST_PROBLEMS = 20


def is_open_inference(path: str) -> bool:
    """Return whether a path is one of this protocol."""
    return path == PREFIX or path.startswith(f"{PREFIX}/")


def _is_whole(value: Any) -> bool:
    return type(value) is int


def _is_real(value: Any) -> bool:
    return type(value) in (int, float)


def _is_text(value: Any) -> bool:
    return type(value) is str


def _is_boolean(value: Any) -> bool:
    return type(value) is bool


_Test = Callable[[Any], bool]

_IS_OF: dict[str, _Test] = {
    **dict.fromkeys(_WHOLE, _is_whole),
    **dict.fromkeys(_REAL, _is_real),
    "BYTES": _is_text,
    "BOOL": _is_boolean,
}


class Tensors:
    """Translates between tensors and the rows of a model.

    Parameters
    ----------
    signature : Signature
    name : str
        Of the model.
    hidden : frozenset of str
        Columns whose values no error shows.
    """

    def __init__(
        self, signature: Signature, name: str, hidden: frozenset[str] = frozenset()
    ) -> None:
        self._features = {f.name: f for f in signature.features}
        self._outputs = {_IDS: "BYTES", **_outputs(signature)}
        self._name = name
        self._hidden = hidden

    def metadata(self, version: str) -> dict[str, Any]:
        """Return the description of the model: names, datatypes and shapes."""
        inputs = [
            {"name": name, "datatype": _DATATYPES[feature.kind][0], "shape": [-1]}
            for name, feature in self._features.items()
        ]
        outputs = [
            {"name": name, "datatype": datatype, "shape": [-1]}
            for name, datatype in self._outputs.items()
        ]
        return {
            "name": self._name,
            "versions": [version],
            "platform": "mlops",
            "inputs": inputs,
            "outputs": outputs,
        }

    def rows(self, body: Any) -> Rows:
        """Return the rows that the tensors of a request make, types not yet checked.

        Raises
        ------
        UsageError
            With what is wrong, the first of each tensor.
        """
        if not isinstance(body, dict) or not isinstance(body.get("inputs"), list):
            raise UsageError(
                "not an inference request",
                key="inputs",
                found=type(body).__name__,
                do='send {"inputs": [{"name": ..., "shape": [1], "datatype": ..., '
                '"data": [...]}, ...]}',
            )
        self._require_outputs(body)
        sent = body["inputs"]
        if len(sent) > len(self._features):
            sent = sent[: len(self._features) + 1]
        columns: dict[str, list[Any]] = {}
        problems: list[Problem] = []
        for number, tensor in enumerate(sent):
            try:
                name, values = self._column(tensor, number, columns)
            except UsageError as error:
                problems += error.problems
                continue
            columns[name] = values
        if not problems:
            problems = self._missing(columns)
        if problems:
            raise UsageError(*problems[:_MOST_PROBLEMS])
        names = list(columns)
        return [dict(zip(names, row, strict=True)) for row in _rows(columns)]

    def response(
        self, request: Mapping[str, Any], predicted: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Return an inference response.

        Parameters
        ----------
        request : mapping
            The body of the request.
        predicted : mapping
            What ``/predict`` answers.
        """
        predictions = predicted["predictions"]
        chosen = [output["name"] for output in request.get("outputs") or ()]
        outputs = []
        for name in chosen or self._outputs:
            data = [prediction[name] for prediction in predictions]
            shape = {"name": name, "shape": [len(data)]}
            outputs.append(shape | {"datatype": self._outputs[name], "data": data})
        warnings = [
            f"{one['field']}: {one['problem']} in {one['rows']}"
            for one in predicted["warnings"]
        ]
        parameters: dict[str, Any] = {"logged": predicted["logged"]}
        if warnings:
            parameters["warnings"] = "; ".join(warnings)
        response = {
            "model_name": self._name,
            "model_version": predicted["version"],
            "parameters": parameters,
            "outputs": outputs,
        }
        if isinstance(request.get("id"), str):
            response["id"] = request["id"]
        return response

    def _require_outputs(self, body: Mapping[str, Any]) -> None:
        """Refuse a request for outputs that there are none of."""
        outputs = body.get("outputs") or []
        names: list[Any] = []
        if isinstance(outputs, list):
            names = [
                one.get("name") if isinstance(one, dict) else None for one in outputs
            ]
        wrong = [name for name in names if name not in list(self._outputs)]
        if wrong or not isinstance(outputs, list) or len(names) > len(self._outputs):
            raise UsageError(
                "not outputs of the model",
                key="outputs",
                found=brief(wrong or outputs),
                allowed=listed(self._outputs),
            )

    def _column(
        self, tensor: Any, number: int, earlier: Mapping[str, list[Any]]
    ) -> tuple[str, list[Any]]:
        """Return the name and the values of one tensor."""
        key = f"inputs.{number}"
        if not isinstance(tensor, dict) or not isinstance(tensor.get("name"), str):
            found = type(tensor).__name__
            raise UsageError("not a tensor with a name", key=key, found=found)
        name = tensor["name"]
        feature = self._features.get(name)
        if feature is None:
            raise UsageError(
                "not a feature of the model",
                key=f"{key}.name",
                found=name,
                do=did_you_mean(name, self._features),
            )
        if name in earlier:
            raise UsageError(
                "this tensor was sent twice", key=f"{key}.name", found=name
            )
        return name, self._values(feature, tensor, key)

    def _values(
        self, feature: Feature, tensor: Mapping[str, Any], key: str
    ) -> list[Any]:
        """Return the values of a tensor, each of its datatype or missing."""
        datatype = tensor.get("datatype")
        allowed = _DATATYPES[feature.kind]
        if datatype not in allowed:
            raise UsageError(
                f"not a datatype of {feature.name}",
                key=f"{key}.datatype",
                found=brief(datatype),
                allowed=", ".join(allowed),
            )
        data = tensor.get("data")
        if not isinstance(data, list):
            raise UsageError(
                "a tensor has its data in JSON",
                key=f"{key}.data",
                found=type(data).__name__,
                do="send lists; the extension for binary data is not supported",
            )
        if data and isinstance(data[0], list):
            data = [one[0] if _is_one(one) else one for one in data]
        count = _length(tensor.get("shape"), key)
        if count != len(data):
            raise UsageError(
                "shape and data do not go together",
                key=key,
                found=f"{len(data):,} values for {count:,} rows",
            )
        is_of = _IS_OF[str(datatype)]
        for number, value in enumerate(data):
            if value is not None and not is_of(value):
                shown = "" if feature.name in self._hidden else brief(value)
                where = f"{key}.data.{number}"
                problem = f"not a value of {datatype}"
                raise UsageError(problem, key=where, found=shown)
        return data

    def _missing(self, columns: Mapping[str, list[Any]]) -> list[Problem]:
        """Return what is wrong with the tensors together."""
        advice = "send a tensor of null where it is not known"
        missing = [name for name in self._features if name not in columns]
        problems = [
            Problem("there is no tensor for this feature", key=name, do=advice)
            for name in missing[:_MOST_PROBLEMS]
        ]
        counts = {name: len(values) for name, values in columns.items()}
        if len(set(counts.values())) > 1:
            found = listed(f"{name}: {count:,}" for name, count in counts.items())
            message = "tensors have different numbers of rows"
            problems.append(Problem(message, key="inputs", found=found))
        if any(not count or count > MAX_ROWS for count in counts.values()):
            allowed = f"1 to {MAX_ROWS:,}"
            message = "not a number of rows for one request"
            problems.append(Problem(message, key="inputs", allowed=allowed))
        return problems


def _rows(columns: Mapping[str, list[Any]]) -> Any:
    return zip(*columns.values(), strict=True)


def _is_one(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 1


def _length(shape: Any, key: str) -> int:
    """Return the number of rows of a shape."""
    if isinstance(shape, list) and len(shape) > 0 and shape[1:] in ([], [1]):
        rows = shape[0]
        if _is_whole(rows) and rows >= 0:
            return int(rows)
    raise UsageError(
        "not a shape of one value for each row",
        key=f"{key}.shape",
        found=brief(shape),
        allowed="[n], [n, 1]",
    )


def _outputs(signature: Signature) -> dict[str, str]:
    """Return the outputs of a model and their datatypes."""
    if signature.task == "regression":
        return {"prediction": "FP64"}
    if signature.task == "multiclass":
        chances = {f"p_{name}": "FP64" for name in signature.classes}
        return {"prediction": "BYTES", **chances}
    return {"prediction": "BYTES", "score": "FP64"}
