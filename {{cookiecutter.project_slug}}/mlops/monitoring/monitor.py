"""`mlops monitor`: the logged window against the reference of the version that a stage has."""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import norm

from mlops.data.read import cast_all, read_labels
from mlops.evaluation.metrics import measure, undefined
from mlops.evaluation.outcome import outcome
from mlops.files import replacing, write_json
from mlops.project import Project
from mlops.registry.manifest import fetch
from mlops.registry.store import ReleaseStore
from mlops.results import ColumnDrift, DriftCheck, Feature, Metric, Performance, Signature
from mlops.serving.log import PredictionLog
from mlops.spec import ModelSpec, Monitor

Counts = NDArray[np.int64]
MOST_CATEGORIES = 50
_BINS = 10
_RESAMPLES = (999, 9999)  # the second only where the first leaves a doubt
_LEAST_EXPECTED = 5


def monitor(
    project: Project,
    name: str,
    stage: str,
    since: datetime,
    until: datetime,
    charts: bool = True,
    store: ReleaseStore | None = None,
) -> DriftCheck:
    """Check the predictions of ``[since, until)`` and write monitor.json and monitor.html.

    Only predictions of the version that the stage has now are looked at: the reference is its own.
    """
    spec = project.model(name)
    rule = spec.monitor
    bundle = fetch(project, f"{name}@{stage}", store)
    signature, version = bundle.manifest.signature, bundle.version.number
    reference = pd.read_parquet(io.BytesIO(bundle.read("reference.parquet")))
    known = {}
    if spec.data.labels:
        labels = read_labels(spec, project.folder(name)).frame
        known = dict(zip(labels[spec.data.id], labels[spec.data.target], strict=True))
    window = PredictionLog(project.state, name).window(since, until, version, known)

    shown = [c for c in reference.columns if c not in {*spec.sensitive, signature.target}]
    features = {f.name: f for f in signature.features if f.name in shown}
    outputs = [c for c in shown if c not in features]
    if len(outputs) > 1:
        outputs.remove("prediction")  # the scores say more
    kinds: dict[str, str] = {name: f.kind for name, f in features.items()}
    logged, _ = cast_all(window.features.reindex(columns=list(kinds)), kinds)
    kinds |= dict.fromkeys(outputs, "number")
    current = pd.concat([logged, window.log.reindex(columns=outputs).astype("float64")], axis=1)
    old, new = (
        frame.sample(min(len(frame), rule.sample), random_state=0, ignore_index=True)
        for frame in (reference[list(kinds)], current)
    )
    enough = len(current) >= rule.min_rows
    columns = compare(old, new, kinds, features, rule) if enough else []
    performance = perform(spec, signature, bundle.manifest.metrics, window.log)
    reasons = _reasons(columns, performance, rule.min_effect)
    if not enough:
        reasons.append(f"{len(current):,} rows, {rule.min_rows:,} needed")
    if window.damaged:
        reasons.append(f"{window.damaged:,} lines of the log were cut short")
    check = DriftCheck(
        model=name,
        version=version,
        stage=stage,
        since=since.isoformat(timespec="minutes"),
        until=until.isoformat(timespec="minutes"),
        alarm=any(c.alarm for c in columns) or any(p.alarm for p in performance),
        enough=enough,
        rows=len(current),
        labelled=int(window.log["label"].notna().sum()),
        compared=(len(new), len(old)),
        columns=tuple(columns),
        performance=tuple(performance),
        reasons=tuple(reasons),
    )
    folder = project.build(name)
    write_json(folder / "monitor.json", check.model_dump(mode="json"))
    if charts:
        draw(old, new, kinds, rule.min_effect, folder / "monitor.html")
    return check


def perform(
    spec: ModelSpec, signature: Signature, registered: Sequence[Metric], log: pd.DataFrame
) -> list[Performance]:
    """Compare the primary metric, and the business value, with what was registered.

    The alarm takes the error of both figures into account: a window that is merely below the
    registered value would be one in two. With two metrics each is tested at half of alpha. There
    is no answer below `monitor.min_rows` labels, or where these cannot give one (one class only).
    """
    known = log[log["label"].notna()].reset_index(drop=True)
    if len(known) < spec.monitor.min_rows:
        return []
    kind = "float64" if spec.task == "regression" else "str"
    found = outcome(signature, known["label"].astype(kind), known, amounts=spec.metrics.value)
    watched = [m for m in registered if m.name in (spec.metrics.primary, "value")]
    watched = [m for m in watched if not undefined(m.name, found)]
    out = []
    for then in watched:
        now = measure(then.name, found)
        p = worse(now, then)
        alarm = p <= spec.monitor.alpha / len(watched)
        out.append(Performance(rows=len(known), window=now, reference=then, p_value=p, alarm=alarm))
    return out


def worse(now: Metric, then: Metric) -> float:
    """Return the one-sided p-value of `now` being no worse than `then`, from both intervals."""
    loss = now.value - then.value if now.higher_is_better else then.value - now.value
    widths = [(m.high - m.low) / (2 * norm.ppf(0.5 + m.confidence / 2)) for m in (now, then)]
    if not any(widths):
        return 1.0 if loss >= 0 else 0.0
    return float(norm.cdf(loss / sum(width**2 for width in widths) ** 0.5))


def _reasons(columns: list[ColumnDrift], performance: list[Performance], least: float) -> list[str]:
    """Return a sentence for every alarm, the worst first, and for a metric that holds."""
    out = []
    for p in performance:
        now, word = p.window, "worse than" if p.alarm else "not shown to be worse than"
        out.append(
            f"{now.name} is {now.value:.3f} ({now.low:.3f} to {now.high:.3f}) on {p.rows:,}"
            f" labelled rows, {word} {p.reference.value:.3f} when it was registered"
        )
    for c in sorted(columns, key=lambda c: -c.effect):
        what = "outside the range seen in training" if c.kind == "number" else "new since training"
        if c.alarm:
            out.append(
                f"{c.name} has drifted: distance {c.effect:.2f} (from {least:.2f} on it matters),"
                f" p {c.q_value:.2g}, missing {c.missing:.1%} (was {c.reference_missing:.1%})"
                + (f", {c.unseen:,} values {what}" if c.unseen else "")
            )
    return out or (["no column has drifted"] if columns else [])


# -- drift of one column, and charts of all --------------------------------------------------------


def compare(
    reference: pd.DataFrame,
    window: pd.DataFrame,
    kinds: Mapping[str, str],
    features: Mapping[str, Feature],
    rule: Monitor,
) -> list[ColumnDrift]:
    """Test every column of `kinds`.

    A column alarms when its p-value is significant by Benjamini and Hochberg (1995) at
    `rule.alpha` over all columns, and its effect is at least `rule.min_effect`: many rows make any
    difference significant, few make any look large. Where nothing drifts, the chance that some
    column alarms is at most alpha.

    Both samples are cast to their kinds. `features` is what training saw; columns that are not
    there are outputs of the model.
    """
    from scipy.stats import false_discovery_control

    rng = np.random.default_rng(0)
    tables = [counts(reference[name], window[name], kinds[name]) for name in kinds]
    found = [p_value(table, rng) for table in tables]
    effects = [distance(table) for table in tables]
    adjusted = false_discovery_control(found)
    return [
        ColumnDrift(
            name=name,
            kind=kinds[name],
            output=name not in features,
            p_value=p,
            q_value=float(q),
            effect=effect,
            alarm=bool(q <= rule.alpha and effect >= rule.min_effect),
            missing=float(window[name].isna().mean()),
            reference_missing=float(reference[name].isna().mean()),
            unseen=_unseen(window[name], features.get(name)),
        )
        for name, p, q, effect in zip(kinds, found, adjusted, effects, strict=True)
    ]


def counts(reference: pd.Series, window: pd.Series, kind: str) -> Counts:
    """Return how many rows of each sample are in each cell, shape (2, n_cells).

    A cell is a category, or a tenth of the values of both samples together; missing is one too,
    and all but the 50 commonest are one. Both samples choose the cells, so that where nothing
    drifts the choice favours neither, and tests with fixed margins are exact.
    """
    both = pd.concat([reference, window], ignore_index=True)
    if kind in {"number", "date"}:
        both = np.ceil(both.rank(pct=True) * _BINS)  # repeated values share a rank, and so a cell
    codes, names = pd.factorize(both, use_na_sentinel=False)
    sides = (codes[: len(reference)], codes[len(reference) :])
    table = np.array([np.bincount(side, minlength=len(names)) for side in sides])
    table = table[:, np.argsort(-table.sum(axis=0), kind="stable")]
    rest = table[:, MOST_CATEGORIES:].sum(axis=1, keepdims=True)
    table = np.hstack([table[:, :MOST_CATEGORIES], rest])
    return table[:, table.sum(axis=0) > 0]


def p_value(table: Counts, rng: np.random.Generator) -> float:
    """Return the p-value of the chi-square test of homogeneity.

    Where an expected count is below 5 the distribution is simulated with both margins fixed, which
    is exact up to Monte Carlo error (Davison and Hinkley 1997, section 4.3). No row or column of
    the table may be empty.
    """
    from scipy.stats import MonteCarloMethod, chi2_contingency

    if table.shape[1] < 2:
        return 1.0
    expected = table.sum(axis=0).min() * table.sum(axis=1).min() / table.sum()
    if expected >= _LEAST_EXPECTED:
        return float(chi2_contingency(table, correction=False).pvalue)
    for resamples in _RESAMPLES:
        method = MonteCarloMethod(n_resamples=resamples, rng=rng)
        p = float(chi2_contingency(table, correction=False, method=method).pvalue)
        if p > 0.1:
            break
    return p


def distance(table: Counts) -> float:
    """Return the Jensen-Shannon distance of two samples, 0 to 1, less what chance alone makes.

    Two samples of one distribution over k cells have an expected divergence of about
    ``(k - 1) (1/n + 1/m) / (8 ln 2)`` bits; without it a small window over many categories would
    always look far away.
    """
    from scipy.spatial.distance import jensenshannon

    sizes = table.sum(axis=1)
    found = float(jensenshannon(table[0] / sizes[0], table[1] / sizes[1], base=2)) ** 2
    chance = (table.shape[1] - 1) * (1 / sizes).sum() / (8 * np.log(2))
    return float(np.sqrt(min(1.0, max(0.0, found - chance))))


def _unseen(column: pd.Series, feature: Feature | None) -> int:
    """Count values that training did not have, as far as what it had is known."""
    if feature and feature.kind == "category" and feature.categories is not None:
        return int((column.notna() & ~column.isin(feature.categories)).sum())
    if feature and feature.kind == "number" and None not in (feature.low, feature.high):
        return int((column.notna() & ~column.between(feature.low, feature.high)).sum())
    return 0


def draw(
    reference: pd.DataFrame,
    window: pd.DataFrame,
    kinds: Mapping[str, str],
    threshold: float,
    path: Path,
) -> None:
    """Write Evidently's report of two samples to one self-contained HTML file (some 4 MB).

    Its scores are Jensen-Shannon distances for every column, by its own binning; its verdicts are
    not ours. Nothing is written where no column has values on both sides.
    """
    # Evidently fails on a column without values.
    drawn = {c: k for c, k in kinds.items() if min(reference[c].count(), window[c].count())}
    path.unlink(missing_ok=True)
    if not drawn:
        return
    both = _harmless(pd.concat([reference, window], ignore_index=True), drawn)
    old, new = both[: len(reference)], both[len(reference) :].reset_index(drop=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from evidently import DataDefinition, Dataset, Report
        from evidently.metrics import ValueDrift

        numbers = list(both.select_dtypes("number"))
        others = list(both.select_dtypes(exclude="number"))
        shape = DataDefinition(numerical_columns=numbers, categorical_columns=others)
        sides = [Dataset.from_pandas(side, data_definition=shape) for side in (new, old)]
        method = {"method": "jensenshannon", "threshold": threshold}
        result = Report([ValueDrift(column=name, **method) for name in both]).run(*sides)
        with replacing(path) as temporary:
            result.save_html(str(temporary))


def _harmless(frame: pd.DataFrame, kinds: Mapping[str, str]) -> pd.DataFrame:
    """Return the columns of `kinds` as Evidently can take them: numbers and texts.

    It writes texts into a script element as they are, so angle brackets in them are replaced; it
    draws no dates (now days since 1970); of many categories the rare are one.
    """
    safe = str.maketrans("<>", "‹›")  # noqa: RUF001
    out = {}
    for name, kind in kinds.items():
        column = frame[name]
        if kind == "date":
            column = (column - pd.Timestamp(0)) / pd.Timedelta(days=1)
        elif kind != "number":
            common = column.value_counts().index[:MOST_CATEGORIES]
            text = column.where(column.isin(common) | column.isna(), "(other)").astype("str")
            column = text.fillna("(missing)").str.translate(safe)
        out[name.translate(safe)] = column
    return pd.DataFrame(out)
