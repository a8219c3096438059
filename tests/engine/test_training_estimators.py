"""Every estimator that scikit-learn offers can be a model."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import allowed_types
import numpy as np
import pytest
from sklearn.utils import all_estimators

from mlops.errors import Refused
from mlops.training import model_file
from mlops.training.allowed import reviewed_types

ROOT = Path(__file__).parents[2]

# Run in a fresh process: load every file, ask it, compare.
LOAD = """\
import json, sys, warnings
from pathlib import Path

sys.path[:0] = [{scripts!r}, {sources!r}]
import allowed_types
import numpy as np
from mlops.training import model_file

warnings.simplefilter("ignore")
failed = {{}}
folder = Path({folder!r})
names = json.loads((folder / "names.json").read_text())
for number, name in names.items():
    try:
        estimator = model_file.load((folder / f"{{number}}.skops").read_bytes())
        expected = folder / f"{{number}}.npy"
        if expected.exists():
            inputs = allowed_types.INPUTS.get(name, allowed_types.ROWS)
            found = allowed_types.answer(estimator, inputs)
            wanted = np.load(expected)
            if found.dtype.kind in "US":
                assert (found == wanted).all(), "another answer"
            else:
                np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-9)
    except Exception as error:
        failed[name] = f"{{type(error).__name__}}: {{error}}"[:300]
print(json.dumps({{"loaded": len(names), "failed": failed}}))
"""


def test_every_public_estimator_loads_in_a_fresh_process_and_predicts_the_same(
    tmp_path: Path,
) -> None:
    names: dict[int, str] = {}
    found: set[str] = set()
    for number, example in enumerate(allowed_types.examples()):
        content = model_file.dump(example.estimator)
        found |= set(model_file.allowed_types(content))
        (tmp_path / f"{number}.skops").write_bytes(content)
        names[number] = example.name
        if example.inputs is not None:
            said = allowed_types.answer(example.estimator, example.inputs)
            np.save(tmp_path / f"{number}.npy", said)
    (tmp_path / "names.json").write_text(json.dumps(names))
    code = LOAD.format(
        scripts=str(ROOT / "scripts"),
        sources=str(allowed_types.SOURCES),
        folder=str(tmp_path),
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"loaded": len(names), "failed": {}}
    public = {name for name, _ in all_estimators()}
    assert public <= set(names.values()) | set(allowed_types.NOT_POSSIBLE)
    scikit_learn = {t for t in reviewed_types() if not t.startswith(LEARNERS)}
    assert found | allowed_types.KEPT == scikit_learn, (
        "run `python scripts/allowed_types.py` and review"
    )


LEARNERS = ("lightgbm.", "xgboost.", "catboost.")


@pytest.mark.parametrize("name", allowed_types.NOT_POSSIBLE)
def test_what_is_said_not_to_be_possible_is_not(name: str) -> None:
    estimator = dict(all_estimators())[name]().fit(allowed_types.ROWS)
    with pytest.raises(Exception, match="not supported"):
        model_file.dump(estimator)


@pytest.mark.parametrize(
    "name", ["os.system", "subprocess.run", "builtins.eval", "numpy.load"]
)
def test_the_list_holds_nothing_that_reaches_the_machine(name: str) -> None:
    assert name not in reviewed_types()


def test_the_list_is_sorted_and_says_of_which_scikit_learn_it_is() -> None:
    lines = allowed_types.TARGET.read_text(encoding="utf-8").splitlines()
    types = [line for line in lines if not line.startswith("#") and line]
    assert types == sorted(set(types))
    assert any("scikit-learn 1." in line for line in lines if line.startswith("#"))


def test_a_function_that_is_not_on_the_list_is_refused() -> None:
    from sklearn.preprocessing import FunctionTransformer

    content = model_file.dump(FunctionTransformer(np.load))
    with pytest.raises(Refused, match=r"numpy\.load"):
        model_file.load(content)
