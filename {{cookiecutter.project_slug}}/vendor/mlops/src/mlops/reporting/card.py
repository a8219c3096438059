"""The model card."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping

from markupsafe import Markup

from mlops.reporting import words
from mlops.reporting.gaps import is_written
from mlops.reporting.html import template
from mlops.reporting.markdown import render
from mlops.reporting.run_report import RunReport
from mlops.reporting.sections import sections
from mlops.reporting.summary import summary
from mlops.reporting.words import clean


def card(facts: RunReport, info: Mapping[str, str]) -> str:
    """Return the model card of a version.

    `info` is what the registry knows, as label: text (version, date, manifest digest).
    """
    from mlops.reporting.calibration import plot, tenths

    metrics = facts.evaluation.metrics if facts.evaluation else ()
    parts = tenths(facts)
    return template("card.md.j2").render(
        facts=facts,
        info=info,
        summary=summary(facts),
        kind="regression" if facts.spec.task == "regression" else "classification",
        metrics=[m for m in metrics if math.isfinite(m.value)],
        sections={s.key: Markup(render(s, 100, "##")) for s in sections(facts)},
        written=is_written,
        tenths=parts,
        held=sum(t.low <= t.predicted <= t.high for t in parts),
        plot=plot,
        quoted=lambda text: Markup(json.dumps(clean(text, 100), ensure_ascii=False)),
        w=words,
    )
