"""The model card: markdown with the metadata block of the Hugging Face hub, from card.md.j2."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping

from markupsafe import Markup

from mlops.reporting import words
from mlops.reporting.facts import Everything
from mlops.reporting.html import template
from mlops.reporting.markdown import escape, render
from mlops.reporting.sections import sections


def card(facts: Everything, info: Mapping[str, str]) -> str:
    """Return the model card of a version.

    `info` is what the registry knows, as label: text (version, date, manifest digest).
    """
    metrics = facts.evaluation.metrics if facts.evaluation else ()
    return template("card.md.j2", lambda value: escape(value, 2000)).render(
        facts=facts,
        info=info,
        kind="regression" if facts.spec.task == "regression" else "classification",
        metrics=[m for m in metrics if math.isfinite(m.value)],
        sections={s.key: Markup(render(s, 100, "##")) for s in sections(facts)},
        quoted=lambda text: Markup(json.dumps(words.clean(text, 100), ensure_ascii=False)),
        w=words,
    )
