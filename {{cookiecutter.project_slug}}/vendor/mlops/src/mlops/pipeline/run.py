"""One run of one model: its steps in order, each one only where it is needed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module

from mlops.io import git
from mlops.pipeline import gate, report, test, train, validate
from mlops.pipeline.cache import StepCache
from mlops.pipeline.lock import only_run
from mlops.pipeline.production import Production
from mlops.pipeline.run_context import RunContext
from mlops.pipeline.state import NOT_REACHED, RunState
from mlops.pipeline.step import Step

STEPS = (validate.STEP, train.STEP, test.STEP, gate.STEP, report.STEP)

NAMES = tuple(step.name for step in STEPS)

Say = Callable[[str], None]

# Libraries that take long to import, by the step that needs them.
_HEAVY = {
    "train": ("skops.io", "sklearn.compose", "sklearn.linear_model"),
    "test": ("sklearn.dummy", "fairlearn.metrics"),
    "report": ("matplotlib.figure",),
}


class Run:
    """One run of one model.

    Parameters
    ----------
    context : RunContext
        Who runs it, and where.
    name : str
        The model.
    say : callable
        Takes one line of progress.
    force : bool
        Do steps again that are done.
    """

    def __init__(
        self, context: RunContext, name: str, say: Say, force: bool = False
    ) -> None:
        project = context.project
        spec = project.model(name)
        commit = git.head(project.root)
        self.context = context
        self.say = say
        self.force = force
        self.cache = StepCache(project, name, spec)
        self.did_something = False
        self.state = RunState(
            project=project,
            name=name,
            spec=spec,
            started=context.now(),
            last=NAMES[-1],
            production=Production(project, name, context.store),
            commit=commit,
            dirty=bool(commit and git.changed_files(project.root)),
            meanwhile=self._import_ahead,
        )

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other runs of the model out of its build folder."""
        with only_run(self.state.build, self.say):
            self.cache = StepCache(self.state.project, self.state.name, self.state.spec)
            yield

    def until(self, last: str) -> bool:
        """Do the steps up to `last` and return whether each of them passed.

        The report is written whatever the other steps answer: it shows that. Failed
        tests still get a verdict. Without valid data there is nothing to train.
        """
        state = self.state
        state.last = last
        steps = STEPS[: NAMES.index(last) + 1]
        if any(step.asks_production for step in steps):
            git.require_repository(state.project.root)
        for step in steps:
            if state.states.get("validate") == "failed" and step is not report.STEP:
                state.states[step.name] = NOT_REACHED
            else:
                self._do(step)
        return "failed" not in state.states.values()

    def stale(self) -> list[str]:
        """Return the steps before the report that would be done now.

        What they wrote is not about what is checked out.
        """
        return [
            step.name
            for step in STEPS
            if step is not report.STEP
            and not self.cache.is_done(step, self._inputs(step))
        ]

    def _import_ahead(self) -> None:
        """Import what later steps use, while another process asks the contract."""
        for name in NAMES[: NAMES.index(self.state.last) + 1]:
            for module in _HEAVY.get(name, ()):
                import_module(module)

    def _inputs(self, step: Step) -> str:
        """Return the digest of all that a step depends on."""
        state = self.state
        context = []
        if step.asks_production:
            context.append(f"production {state.production.version}")
        if step.shows_commit:
            context.append(f"commit {state.commit} dirty {state.dirty}")
        return self.cache.inputs(step, " ".join(context))

    def _do(self, step: Step) -> None:
        """Do a step, or note that it is done."""
        inputs = self._inputs(step)
        if not self.force and self.cache.is_done(step, inputs):
            self._skip(step)
            return
        self.did_something = True
        self.say(f"{step.name} …")
        begun = time.perf_counter()
        ok = step.run(self.state)
        seconds = time.perf_counter() - begun
        self.cache.finish(step, inputs, ok, seconds)
        self.state.seconds[step.name] = seconds
        self.state.states[step.name] = "ran" if ok else "failed"
        outcome = "done" if ok else "failed"
        self.say(f"{step.name:<9} {outcome} ({seconds:.1f} s)")

    def _skip(self, step: Step) -> None:
        """Take over how a step went when it was last done."""
        record = self.cache.done[step.name]
        self.state.seconds[step.name] = record.seconds
        self.state.states[step.name] = "skipped" if record.ok else "failed"
        outcome = "unchanged" if record.ok else "unchanged: it failed before"
        self.say(f"{step.name:<9} {outcome}")
