"""What is known, in each of its forms: text on a terminal, markdown, one HTML file, a model card.

Text from data cannot act in any. Markdown is for pull requests and step summaries. The HTML needs
nothing else: no script, no request, light and dark. The card has the metadata block of the Hugging
Face hub. Runs stand side by side on a terminal or as HTML, by what differs between them.
"""

from __future__ import annotations

import json
import math
import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from mlops.reporting import words as w
from mlops.reporting.facts import Everything, interval, sections, summary
from mlops.reporting.words import clean
from mlops.results import Record

if TYPE_CHECKING:
    from jinja2 import Template

LIMIT = 60_000  # GitHub refuses a comment of more than 65,536 characters
MOST_RUNS = 20
Facts = dict[str, object]
_MARKS = {"good": "✅ ", "bad": "❌ ", "unsure": "⚠️ ", "": ""}
_SYNTAX = re.compile(r"[&<>`*~\[\]\\|$]|(?<![^\W_])_|_(?![^\W_])|^[-+=](?!\d)")
_ORDERED = re.compile(r"^(\d+)([.)])(?!\d)")
# What GitHub links or draws after markdown is rendered, so that an entity does not stop it:
# mentions and addresses, issues, web addresses, emoji. A zero-width space does.
_LINKED = re.compile(r"@|#|www(?=\.)|\bgh-(?=\d)|:(?=//|[\w+-]+:)", re.IGNORECASE)


# -- on a terminal ------------------------------------------------------------------------------


def outcome(facts: Everything, *keys: str) -> str:
    """Return the answer, and of the sections with these keys what is not folded in a report.

    A section whose tables are all folded is given in its sentences.
    """
    said = summary(facts)
    parts = [w.paint(_prose(said.title), said.tone), *map(_prose, said.lines)]
    for section in sections(facts):
        if section.key in keys:
            open_ = [t for t in section.tables if t.rows and not t.folded]
            tables = [w.table([cells for _, cells in t.rows], t.columns, t.align) for t in open_]
            parts += [f"\n{part}" for part in tables or map(_prose, section.text)]
    return "\n".join(parts)


def _prose(text: str) -> str:
    """Return sentences as lines of at most 100 columns."""
    plain = clean(text, 1000).replace(w.MINUS, "-")
    return textwrap.fill(plain, 100, break_on_hyphens=False)


# -- markdown -----------------------------------------------------------------------------------


def escape(text: object, most: int = 300) -> str:
    """Return text of any origin as markdown that shows it and does nothing else.

    One line, without control characters; no HTML, link, mention, emphasis, code, table cell,
    heading or list can come out of it, wherever in a line or a table it is put.
    """
    line = _LINKED.sub(lambda m: m[0] + "\u200b", clean(text, most))
    line = _SYNTAX.sub(lambda m: f"&#{ord(m[0])};", line)
    line = _ORDERED.sub(lambda m: f"{m[1]}&#{ord(m[2])};", line)
    return line.replace("\u200b", "&#8203;")


def markdown(facts: Everything) -> str:
    """Return the report: the verdict first, then its evidence; always shorter than 60,000."""
    said, parts = summary(facts), sections(facts)
    head = [f"## {_MARKS[said.tone]}{escape(facts.model)}: {escape(said.title)}"]
    head += [escape(line, 700) for line in said.lines]
    text = ""
    for most in (200, 60, 20, 6, 2, 0):
        text = "\n\n".join([*head, *(render(part, most) for part in parts)]) + "\n"
        if len(text) < LIMIT:
            break
    return text


def render(section: w.Section, most: int, level: str = "###") -> str:
    """Return one section with no more than `most` rows per table."""
    parts = [f"{level} {section.title}", *(escape(t, 600) for t in section.text[: most + 1])]
    parts += [table(t, most) for t in section.tables if t.rows]
    if section.commands:
        commands = "\n".join(clean(c).replace("`", "") for c in section.commands)
        parts.append(f"```sh\n{commands}\n```")
    return "\n\n".join(parts)


def table(t: w.Table, most: int) -> str:
    """Return at most `most` rows of a table, folded where it says so."""
    marks = "|".join("---:" if a == "r" else "---" for a in t.align)
    lines = [f"| {' | '.join(escape(c) for c in t.columns)} |", f"|{marks}|"]
    for tone, cells in t.rows[:most]:
        lines.append(f"| {_MARKS[tone]}{' | '.join(escape(c, 200) or ' ' for c in cells)} |")
    if len(t.rows) > most:
        lines.append(f"\n{len(t.rows) - most:,} more in the full report.")
    text = "\n".join(lines)
    if t.folded:
        text = f"<details><summary>{escape(t.title)}</summary>\n\n{text}\n\n</details>"
    return text


# -- HTML and the card --------------------------------------------------------------------------


@cache
def _template(name: str) -> Template:
    """Return a template that prints text that can do no harm, except what is marked safe."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    html = name.endswith(".html.j2")

    def shown(value: object) -> str:
        if isinstance(value, Markup):
            return value
        return clean(value, 500) if html else escape(value, 2000)

    return Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=html,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=shown,
    ).get_template(name)


def fill(**known: object) -> str:
    """Return an HTML file; page.html.j2 says what has to be known for which."""
    return _template("page.html.j2").render(w=w, **known)


def html(facts: Everything) -> str:
    """Return the whole page; tables are cut, so that it stays below some 500 kB."""
    from mlops.reporting.charts import charts

    return fill(
        name=facts.model,
        about=facts.spec.description,
        facts=facts,
        said=summary(facts),
        sections=sections(facts),
        charts=charts(facts),
    )


def card(facts: Everything, info: Mapping[str, str]) -> str:
    """Return the model card of a version.

    `info` is what the registry knows, as label: text (version, date, manifest digest).
    """
    from mlops.reporting.charts import plot, tenths

    metrics, parts = facts.evaluation.metrics if facts.evaluation else (), tenths(facts)
    return _template("card.md.j2").render(
        facts=facts,
        info=info,
        said=summary(facts),
        kind="regression" if facts.spec.task == "regression" else "classification",
        metrics=[m for m in metrics if math.isfinite(m.value)],
        sections={s.key: Markup(render(s, 100, "##")) for s in sections(facts)},
        tenths=parts,
        held=sum(t.low <= t.predicted <= t.high for t in parts),
        plot=plot,
        quoted=lambda text: Markup(json.dumps(clean(text, 100), ensure_ascii=False)),
        w=w,
    )


def drawn(text: str) -> Markup:
    """Return a card as HTML, without links, pictures or markup of its own."""
    from markdown_it import MarkdownIt

    body = text.removeprefix("---\n").partition("\n---\n")[2]  # after what is for the hub
    body = re.sub("<details><summary>(.*)</summary>", r"**\1**", body).replace("</details>", "")
    for mark, plain in (("✅", "✓"), ("❌", "✗"), ("⚠️", "!")):
        body = body.replace(mark, plain)
    rules = MarkdownIt("commonmark", {"html": False}).enable("table")
    html = rules.disable(["autolink", "image", "link"]).render(body)
    html = html.replace("<table>", '<div class="scroll"><table>')
    return Markup(html.replace("</table>", "</table></div>"))


# -- runs side by side --------------------------------------------------------------------------


def compare(runs: Mapping[str, Facts]) -> str:
    """Return runs side by side, only where they differ: a column each, a line where many."""
    _, differ = _parted(list(runs.values()))
    if not differ:
        return "These runs do not differ."
    if len(runs) < 5:
        return w.table([[key, *found] for key, found in differ.items()], ["", *runs])
    rows = [[name, *found] for name, *found in zip(runs, *differ.values(), strict=True)]
    return w.table(rows, ["run", *differ])


def _parted(runs: Sequence[Facts], missing: object = None) -> tuple[Facts, dict[str, list[Any]]]:
    """Return what is the same in all runs, and what differs, with a value for each run."""
    values = {name: [run.get(name, missing) for run in runs] for run in runs for name in run}
    differ = {name: found for name, found in values.items() if any(v != found[0] for v in found)}
    same: Facts = {name: found[0] for name, found in values.items() if name not in differ}
    return same, differ


def flat(record: Record) -> Facts:
    """Return a run's facts in one level, for people."""
    return {
        "model": record.model,
        **_origin(record),
        **{k if k == "estimator" else f"params.{k}": v for k, v in _params(record).items()},
        **{m.name: f"{m.value:.4f} ({m.low:.4f} to {m.high:.4f})" for m in record.metrics},
        "reasons": "; ".join(record.verdict.reasons) if record.verdict else None,
    }


def _measured(record: Record) -> Facts:
    return {w.label(m.name): w.number(m.value) for m in record.metrics}


def _params(record: Record) -> Facts:
    training = record.training
    return {"estimator": training.estimator, **training.params} if training else {}


def _origin(record: Record) -> Facts:
    data = record.data
    return {
        "started": record.started[:16].replace("T", " "),
        "outcome": record.outcome,
        "group": record.group,
        "commit": f"{(record.commit or '')[:12]}{' and changes' if record.dirty else ''}",
        "data": f"{data.digest[:12]} ({data.rows:,} rows)" if data else None,
        "measured on": record.measured_on,
        "actor": record.actor,
        "took": w.duration(record.seconds),
    }


def page(records: Sequence[Record]) -> str:
    """Return one HTML file: each metric with its intervals, then what else differs."""
    from mlops.reporting.charts import side_by_side

    sections = [
        _section("metrics", "Metrics", records, map(_measured, records)),
        _section("params", "Parameters", records, map(_params, records)),
        _section("origin", "Where they come from", records, map(_origin, records)),
    ]
    return fill(
        name=", ".join(dict.fromkeys(r.model for r in records)),
        about=", ".join(dict.fromkeys(r.group for r in records if r.group)),
        said=_said(records),
        sections=sections,
        charts=side_by_side(records),
    )


def _said(records: Sequence[Record]) -> w.Summary:
    """Return the best run by the metric that comes first, and why it may not be the best."""
    title = f"{w.count(len(records), 'run')} side by side"
    known = [record for record in records if record.metrics]
    if not known:
        return w.Summary("unsure", title, ("None of them was measured.",))
    first = known[0].metrics[0]
    same = [record for record in known if record.metrics[0].name == first.name]
    pick = max if first.higher_is_better else min
    best = pick(same, key=lambda record: record.metrics[0].value)
    m = best.metrics[0]
    lines = [f"Best {w.label(m.name)}: {w.number(m.value)} ({interval(m)}), by {best.id}."]
    data = {record.data and record.data.digest for record in records}
    rows = {record.measured_on for record in records}
    for what, values in (("data", data), ("rows", rows)):
        if len(values) > 1:
            lines.append(f"Not all were measured on the same {what}: compare with care.")
    return w.Summary("unsure" if len(lines) > 1 else "", title, tuple(lines))


def _section(key: str, title: str, records: Sequence[Record], facts: Iterable[Facts]) -> w.Section:
    """Return a table of what differs, and a sentence with what is the same in all."""
    texts: list[Facts] = [{name: _text(value) for name, value in one.items()} for one in facts]
    same, differ = _parted(texts, missing=w.NONE)
    shared = ", ".join(f"{name} {text}" for name, text in same.items() if text != w.NONE)
    lines = zip(records, *differ.values(), strict=True) if differ else ()
    rows: list[w.Row] = [("", (_link(record), *cells)) for record, *cells in lines]
    align = "l" + ("r" if key == "metrics" else "l") * len(differ)
    table = w.Table(title, ["Run", *differ], align, rows)
    return w.Section(key, title, [f"The same in all: {shared}."] if shared else (), [table])


def _text(value: object) -> str:
    text = f"{value:.6g}" if isinstance(value, float) else clean("" if value is None else value)
    return text or w.NONE


def _link(record: Record) -> w.Cell:
    """Return a run's id, as a link to its page where it has one."""
    url = record.run_url or ""
    return (w.Link(record.id, url),) if re.match("https?://", url) else record.id
