"""Modules that are imported late: nothing is loaded before its use, and all works."""

from __future__ import annotations

import json
import subprocess
import sys

from mutate import ENGINE


def _python(code: str) -> str:
    """Return what a fresh process prints: imports are of a whole process."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(ENGINE)},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return done.stdout


def test_a_late_module_is_loaded_by_its_first_use():
    printed = _python(
        "import json\n"
        "from mlops.io.late_imports import import_late\n"
        "import_late('colorsys', 'xml.dom.minidom')\n"
        "import colorsys\n"
        "from xml.dom import minidom\n"
        "inside = object.__getattribute__(minidom, '__dict__')\n"
        "before = 'parseString' in inside\n"
        "red = colorsys.rgb_to_hsv(1, 0, 0)\n"
        "name = minidom.parseString('<a/>').documentElement.tagName\n"
        "print(json.dumps([before, list(red), name]))\n"
    )
    loaded_before, red, name = json.loads(printed)
    assert not loaded_before
    assert red == [0.0, 1.0, 1.0]
    assert name == "a"


def test_a_late_module_that_does_not_exist_is_missing_where_it_is_imported():
    printed = _python(
        "from mlops.io.late_imports import import_late\n"
        "import_late('no_such_module')\n"
        "try:\n"
        "    import no_such_module\n"
        "except ModuleNotFoundError as error:\n"
        "    print(error.name)\n"
    )
    assert printed.strip() == "no_such_module"


def test_the_contract_is_checked_without_loading_what_is_only_for_pictures():
    printed = _python(
        "import sys\n"
        "from mlops.data.contract_worker import _SELDOM_USED\n"
        "from mlops.io.late_imports import import_late\n"
        "import_late(*_SELDOM_USED)\n"
        "import pandas as pd\n"
        "import great_expectations.expectations as gxe\n"
        "from mlops.data.contract import quiet\n"
        "with quiet():\n"
        "    frame = pd.DataFrame({'x': [1.0, 2.0, None]})\n"
        "    from great_expectations.execution_engine import PandasExecutionEngine\n"
        "    from great_expectations.validator.validator import Validator\n"
        "    from great_expectations.core.batch import Batch\n"
        "    engine = PandasExecutionEngine(batch_data_dict={'a': frame})\n"
        "    found = gxe.ExpectColumnMeanToBeBetween(\n"
        "        column='x', min_value=1, max_value=2)\n"
        "    result = Validator(execution_engine=engine).graph_validate(\n"
        "        configurations=[found.configuration])\n"
        "loaded = [n for n in ('altair.vegalite', 'scipy.stats._stats_py')\n"
        "          if n in sys.modules]\n"
        "print(result[0].success, loaded)\n"
    )
    assert printed.strip() == "True []"
