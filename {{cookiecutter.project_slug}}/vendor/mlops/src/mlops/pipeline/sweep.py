"""A sweep: each combination tried once for the same code, rows and libraries.

What came of a combination is kept by a digest of all that decides it, in a folder
beside the build folder, as soon as it is known. A sweep that was ended goes on from
there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from mlops.config.fields import Scalar
from mlops.data.split import split_by
from mlops.errors import EnvironmentFailure, MlopsError, Refused, error_facts, error_of
from mlops.io.digests import canonical_json, sha256
from mlops.io.files import read_json, write_json
from mlops.pipeline.cross_validate import code_of
from mlops.pipeline.run import Run
from mlops.results.runs import CombinationResult, SweepRequest
from mlops.results.training import Training
from mlops.training.code import FEATURES

_WAVE = 4  # tasks for each worker, until what they came to is kept

MOST_KEPT = 2000  # results of a model, of a few kilobytes each


@dataclass(frozen=True)
class Tried:
    """A combination and what came of it.

    Parameters
    ----------
    chosen : dict
        The parameters that differ.
    trial : CombinationResult, optional
        None where it failed.
    error : MlopsError, optional
    training : Training, optional
        What the run log says of the model.
    is_new : bool
        Whether it was tried now.
    """

    chosen: dict[str, Scalar]
    trial: CombinationResult | None = None
    error: MlopsError | None = None
    training: Training | None = None
    is_new: bool = True

    @property
    def rank(self) -> float:
        """How good it is; higher is better, whatever the metric."""
        if self.trial is None:
            return float("-inf")
        metric = self.trial.metrics[0]
        return metric.value if metric.higher_is_better else -metric.value


class Sweep:
    """The combinations of one sweep, tried where its caller says.

    Parameters
    ----------
    run : Run
        Whose data have been validated.
    backend : str
        Of joblib; empty: one after the other, in the process of user code.
    jobs : int
        How many at once; -1: as many as there are processors or workers.
    force : bool
        Try again what was tried before.
    """

    def __init__(self, run: Run, backend: str, jobs: int, force: bool) -> None:
        self._run = run
        self._backend = backend
        self._jobs = jobs
        self._force = force
        state = run.state
        self._folder = state.build.with_name(f".{state.name}.trials")
        self._tried_code = code_of(state)
        self._digest = self._tried_code.digest

    def tried(self, combined: Sequence[dict[str, Scalar]]) -> list[Tried]:
        """Try each combination and return what came of them, in their order.

        The best is fitted on the whole training part too, as `mlops train` would. Where
        that is refused it has failed, and the next best is fitted.
        """
        results = self._results([self._params(chosen) for chosen in combined])
        every = [
            self._read(chosen, *result)
            for chosen, result in zip(combined, results, strict=True)
        ]
        for number in sorted(range(len(every)), key=lambda at: -every[at].rank):
            if every[number].trial is None:
                break
            every[number] = self._fitted(every[number])
            if every[number].error is None:
                break
        self._prune(len(combined))
        return every

    def _params(self, chosen: Mapping[str, Scalar]) -> dict[str, Any]:
        """Return all parameters of a combination."""
        return {**self._run.state.spec.train.params, **chosen}

    def _results(
        self, every: Sequence[dict[str, Any]]
    ) -> list[tuple[dict[str, Any], bool]]:
        """Return what came of parameters, and whether they were tried now."""
        results: dict[int, tuple[dict[str, Any], bool]] = {}
        for number, params in enumerate(every):
            earlier = None if self._force else self._earlier(params)
            if earlier is not None:
                results[number] = (earlier, False)
        waiting = [number for number in range(len(every)) if number not in results]
        if results:
            self._run.say(f"{len(results)} of {len(every)} unchanged")
        for wave in self._waves(waiting):
            last = len(results) + len(wave)
            self._run.say(f"{last} of {len(every)} …")
            found = self._ask([every[number] for number in wave])
            for number, result in zip(wave, found, strict=True):
                self._keep(every[number], result)
                results[number] = (result, True)
        return [results[number] for number in range(len(every))]

    def _waves(self, waiting: Sequence[int]) -> Iterator[Sequence[int]]:
        """Yield which are asked for at once: all, where a cluster has its own queue."""
        size = 1
        if self._backend:
            size = self._jobs * _WAVE if self._jobs > 0 else max(len(waiting), 1)
        for start in range(0, len(waiting), size):
            yield waiting[start : start + size]

    def _ask(self, wave: Sequence[dict[str, Any]]) -> Sequence[dict[str, Any]]:
        """Return what comes of parameters.

        Code that ends the process that tries them fails one; among several, each is
        then tried by itself.
        """
        trials = SweepRequest(
            params=tuple(wave), backend=self._backend, jobs=self._jobs
        )
        try:
            return self._run.cross_validate(trials).results
        except Refused as error:
            if len(wave) == 1:
                return [error_facts(error)]
        return [result for params in wave for result in self._ask([params])]

    def _read(
        self, chosen: dict[str, Scalar], result: dict[str, Any], is_new: bool
    ) -> Tried:
        """Return what a result says of a combination."""
        if "metrics" not in result:
            return Tried(chosen, error=_error_in(result), is_new=is_new)
        trial = CombinationResult.model_validate(result)
        return Tried(chosen, trial, None, self._training(trial), is_new)

    def _fitted(self, tried: Tried) -> Tried:
        """Return a combination with what training on the whole training part says."""
        params = self._params(tried.chosen)
        try:
            request = SweepRequest(params=(params,), whole=True)
            (facts,) = self._run.cross_validate(request).results
        except Refused as error:
            facts = error_facts(error)
        if "model_sha256" not in facts:
            return Tried(tried.chosen, error=_error_in(facts))
        return replace(tried, training=Training.model_validate(facts))

    def _training(self, trial: CombinationResult) -> Training:
        """Return what is known of a model that was only cross-validated."""
        state = self._run.state
        spec = state.spec
        project = state.project
        return Training(
            signature=trial.signature,
            params=trial.params,
            seed=spec.train.seed,
            split=spec.split,
            split_by=split_by(spec),
            rows=trial.rows,
            snapshot=self._tried_code.snapshot,
            code=project.code_digest(state.name, spec),
            lock=project.lock_digest,
            model_sha256="",
            model_bytes=0,
            features_sha256=sha256(self._tried_code.code.sources[f"{FEATURES}.py"]),
            estimator=trial.estimator,
            seconds=trial.seconds,
        )

    # -- what was tried before --------------------------------------------------------

    def _path(self, params: Mapping[str, Any]) -> Path:
        """Return where the result for some parameters is kept."""
        lock = self._run.state.project.lock_digest
        key = sha256(canonical_json([self._digest, lock, dict(params)]))
        return self._folder / f"{key}.json"

    def _earlier(self, params: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return a result that is kept; None where it is not there or not readable."""
        path = self._path(params)
        if not path.is_file():
            return None
        try:
            result = read_json(path)
            CombinationResult.model_validate(result)
            path.touch()  # what is used stays
        except (ValidationError, EnvironmentFailure):
            return None
        return dict(result)

    def _keep(self, params: Mapping[str, Any], result: dict[str, Any]) -> None:
        """Keep a result; one that failed may come out otherwise the next time."""
        if "metrics" in result:
            write_json(self._path(params), result)

    def _prune(self, newest: int) -> None:
        """Remove results beyond the most that are kept; so many of the newest stay.

        Only one sweep of a model runs at a time.
        """
        files = sorted(self._folder.glob("*.json"), key=lambda path: -_changed(path))
        for path in files[max(MOST_KEPT, newest) :]:
            path.unlink(missing_ok=True)


def _changed(path: Path) -> int:
    """Return when a file was last written or used, in nanoseconds."""
    return path.stat().st_mtime_ns


def _error_in(result: dict[str, Any]) -> MlopsError:
    """Return the error that came of a combination.

    Raises
    ------
    RuntimeError
        For a defect of the engine.
    """
    if "defect" in result:
        raise RuntimeError(f"in the process of user code:\n{result['defect']}")
    return error_of(result, "the model's own code failed")
