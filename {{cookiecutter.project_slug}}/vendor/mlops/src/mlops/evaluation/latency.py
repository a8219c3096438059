"""How long a model takes to predict one row."""

from __future__ import annotations

import time
import timeit

import numpy as np
import pandas as pd

from mlops.training.model import Model

_REPEATS = 21

_MEDIANS = 3


def latency_ms(model: Model, row: pd.DataFrame) -> float:
    """Return the median time of a one-row prediction in milliseconds.

    A busy machine only ever adds time: of three medians the smallest counts.
    """
    times = timeit.repeat(
        lambda: model.predict(row),
        timer=time.process_time,
        number=1,
        repeat=_REPEATS,
    )
    medians = np.median(np.reshape(times, (_MEDIANS, -1)), axis=1)
    return round(1000 * float(medians.min()), 2)
