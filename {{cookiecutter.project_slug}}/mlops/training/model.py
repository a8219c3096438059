"""A trained model in memory: features and fitted pipeline behind one `predict`."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops.data.columns import cast
from mlops.errors import Refused, UsageError
from mlops.files import cannot, sha256
from mlops.results import Signature, Training
from mlops.training import modelfile
from mlops.usercode import blaming, load_function

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

# features.py travels with the model and is run by whoever serves it: pure functions of columns.
FEATURE_IMPORTS = frozenset(
    {"__future__", "datetime", "math", "numpy", "pandas", "re", "typing", "unicodedata"}
)


class Model:
    """Features and fitted pipeline, the same object in training, tests and serving.

    Parameters
    ----------
    name : str
    signature : Signature
    pipeline : object
        Fitted scikit-learn estimator.
    features_source : bytes
        The content of features.py with which the pipeline was fitted.
    """

    def __init__(
        self, name: str, signature: Signature, pipeline: Any, features_source: bytes
    ) -> None:
        self.name = name
        self.signature = signature
        self.pipeline = pipeline
        self.features_source = features_source
        self._shown = f"models/{name}/features.py"
        self._kinds = {f.name: f.kind for f in signature.features}
        self._features = load_function(features_source, self._shown, "features", FEATURE_IMPORTS)

    @cached_property
    def _threads(self) -> Any:
        """The thread pools of this process; finding them takes longer than predicting a row."""
        from threadpoolctl import ThreadpoolController

        return ThreadpoolController()

    @classmethod
    def load(cls, folder: Path, name: str, extra_trusted: tuple[str, ...] = ()) -> Model:
        """Read what `train` wrote; every file is checked against the digest in training.json.

        Raises
        ------
        Refused
            When a file is not the one that was trained.
        WorldError
            When there is none.
        """
        training = Training.load(folder)
        contents = []
        for file, digest in (
            ("model.skops", training.model_sha256),
            ("features.py", training.features_sha256),
        ):
            try:
                content = (folder / file).read_bytes()
            except OSError as error:
                raise cannot("read", folder / file, error) from error
            if sha256(content) != digest:
                what, do = "this file is not the one that training wrote", "run `mlops train` again"
                shown, found = str(folder / file), sha256(content)
                raise Refused(what, file=shown, found=found, allowed=digest, do=do)
            contents.append(content)
        pipeline = modelfile.load(contents[0], extra_trusted)
        return cls(name, training.signature, pipeline, contents[1])

    def features(self, raw: pd.DataFrame) -> pd.DataFrame:
        """Return what the pipeline sees for raw rows.

        Parameters
        ----------
        raw : DataFrame, shape (n_rows, n_columns)
            The signature's feature columns, any others are ignored.

        Raises
        ------
        UsageError
            For a missing column, a value of the wrong type, or an error in features.py.
        """
        typed = cast(raw, self._kinds)
        return compute_features(self._features, typed, self._shown)

    def predict(self, raw: pd.DataFrame) -> pd.DataFrame:
        """Predict raw rows.

        Returns
        -------
        DataFrame, shape (n_rows, n_outputs), indexed as `raw`
            ``prediction`` (the class as text; for regression a number); binary: also ``score``,
            the probability of the positive class; multiclass: also ``p_CLASS`` for each class.
        """
        import pandas as pd

        inputs = self.features(raw)
        # One BLAS thread: the order of additions, and so the last bit, must not depend on cores.
        with (
            self._threads.limit(limits=1, user_api="blas"),
            blaming(f"models/{self.name}/estimator.py"),
        ):
            if self.signature.task == "regression":
                values = self.pipeline.predict(inputs).astype("float64")
                return pd.DataFrame({"prediction": values}, index=raw.index)
            probabilities = self.pipeline.predict_proba(inputs)
        return self._decide(probabilities, raw.index)

    def _decide(self, probabilities: np.ndarray, index: pd.Index) -> pd.DataFrame:
        import numpy as np
        import pandas as pd

        signature = self.signature
        classes = np.asarray(signature.classes, dtype=object)
        if signature.task == "multiclass":
            columns = {f"p_{c}": probabilities[:, i] for i, c in enumerate(classes)}
            best = classes[probabilities.argmax(axis=1)]
            out = pd.DataFrame({"prediction": best, **columns}, index=index)
        else:
            at = signature.classes.index(signature.positive or "")
            score = probabilities[:, at]
            label = np.where(score >= signature.threshold, classes[at], classes[1 - at])
            out = pd.DataFrame({"prediction": label, "score": score}, index=index)
        out["prediction"] = out["prediction"].astype("str")
        return out


def compute_features(function: Any, typed: pd.DataFrame, shown: str) -> pd.DataFrame:
    """Run features() on a copy and check what comes back.

    Raises
    ------
    UsageError
        When it is no frame with the same rows.
    """
    import pandas as pd

    with blaming(shown):
        out = function(typed.copy())
    if not isinstance(out, pd.DataFrame) or len(out) != len(typed):
        shape = getattr(out, "shape", "")
        what = "features(raw) must return a DataFrame with one row for each row"
        found, allowed = (
            f"{type(out).__name__} {shape}".strip(),
            f"DataFrame with {len(typed)} rows",
        )
        raise UsageError(what, file=shown, found=found, allowed=allowed)
    return out
