"""How long a model takes to predict one row."""

from __future__ import annotations

import time
import timeit

import numpy as np
import pandas as pd

from mlops.training.model import Model

_REPEATS = 21
_REPEATS_OF_SLOW = 6

_MEDIANS = 3

_SLOW = 0.1  # seconds; what takes longer is far above the noise of a clock


def latency_ms(model: Model, row: pd.DataFrame) -> float:
    """Return the median time of a one-row prediction in milliseconds.

    A busy machine only ever adds time: of three medians the smallest counts. A model
    that is slow is asked less often.
    """
    timer = timeit.Timer(lambda: model.predict(row), timer=time.process_time)
    is_slow = timer.timeit(1) > _SLOW
    times = timer.repeat(repeat=_REPEATS_OF_SLOW if is_slow else _REPEATS, number=1)
    medians = np.median(np.reshape(times, (_MEDIANS, -1)), axis=1)
    return round(1000 * float(medians.min()), 2)
