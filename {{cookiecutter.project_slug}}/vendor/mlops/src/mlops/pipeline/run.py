"""One run of one model: its steps in order, each one only where it is needed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module

from mlops.config.model_spec import ModelSpec
from mlops.io import git
from mlops.io.digests import canonical_json, sha256
from mlops.pipeline import cross_validate, gate, report, test, train, validate
from mlops.pipeline.cache import StepCache
from mlops.pipeline.lock import only_run
from mlops.pipeline.production import Production
from mlops.pipeline.run_context import RunContext
from mlops.pipeline.state import NOT_REACHED, RunState
from mlops.pipeline.step import Step
from mlops.pipeline.user_process import UserProcess
from mlops.results.ledger import Question
from mlops.results.runs import CrossValidation, SweepRequest
from mlops.results.verdict import Part

STEPS = (validate.STEP, train.STEP, test.STEP, gate.STEP, report.STEP)

NAMES = tuple(step.name for step in STEPS)

Say = Callable[[str], None]

# Libraries that take long to import and that the gate and the report need.
_HEAVY = ("scipy.special", "matplotlib.figure")

# Whether the model's own code runs in a process of its own. Tests that are about
# something else save the seconds that the imports of another process take.
APART = True


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
    part : {"test", "validation"}, optional
        The rows to judge on: by default the validation part, where there is one.
    """

    def __init__(
        self,
        context: RunContext,
        name: str,
        say: Say,
        force: bool = False,
        part: Part | None = None,
    ) -> None:
        project = context.project
        spec = project.model(name)
        commit = git.head(project.root)
        self.context = context
        self.say = say
        self.force = force
        self.cache = StepCache(project, name, spec)
        self.did_something = False
        self._process: UserProcess | None = None
        self.state = RunState(
            project=project,
            name=name,
            spec=spec,
            started=context.now(),
            last=NAMES[-1],
            production=Production(project, name, context.store),
            commit=commit,
            dirty=bool(commit and git.changed_files(project.root)),
            actor=context.actor,
            pull_request=context.pull_request,
            part=part or spec.split.judged_on,
            questions=_questions(context, name, spec),
            meanwhile=self._import_ahead,
        )

    @contextmanager
    def file_lock(self) -> Iterator[None]:
        """Keep other runs of the model out of its build folder, and bring its data."""
        with only_run(self.state.build, self.say):
            self.context.bring(self.state.name, self.say)
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
        self._start_early(steps)
        try:
            for position, step in enumerate(steps):
                if not any(later.runs_user_code for later in steps[position:]):
                    self.close()  # before a verdict is written
                failed = state.states.get("validate") == "failed"
                if failed and step is not report.STEP:
                    state.states[step.name] = NOT_REACHED
                else:
                    self._do(step)
        finally:
            self.close()
        return "failed" not in state.states.values()

    def _start_early(self, steps: tuple[Step, ...]) -> None:
        """Start the process of user code where the data are to be read first.

        It imports its libraries meanwhile.
        """
        first = steps[0]
        reads_data = self.force or not self.cache.is_done(first, self._inputs(first))
        if APART and reads_data and any(step.runs_user_code for step in steps):
            self._process = UserProcess(self.state)

    def cross_validate(self, request: SweepRequest) -> CrossValidation:
        """Return how good combinations of parameters are on the training part.

        The data must have been validated. Call `close` after the last ones.
        """
        step = cross_validate.STEP
        build = self.state.build
        request.save(build)
        try:
            if APART:
                self._run_apart(step)
            else:
                step.run(self.state)
            return CrossValidation.load(build)
        finally:
            (build / SweepRequest.FILE).unlink(missing_ok=True)
            (build / CrossValidation.FILE).unlink(missing_ok=True)

    def _run_apart(self, step: Step) -> bool:
        """Do a step in the process of user code."""
        if self._process is None:
            self._process = UserProcess(self.state)
        try:
            return self._process.run(step)
        except BaseException:
            self.close()
            raise

    def _require_figures(self) -> None:
        """Check what the process of user code says of the model."""
        from mlops.pipeline.figures import require_figures

        require_figures(self.state)

    def close(self) -> None:
        """End the process of user code, if there is one."""
        if self._process is not None:
            self._process.close()
            self._process = None

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
        """Import what the report needs, while other processes work for this one."""
        if self.state.last == report.STEP.name:
            for module in _HEAVY:
                import_module(module)

    def _inputs(self, step: Step) -> str:
        """Return the digest of all that a step depends on."""
        state = self.state
        context = []
        if step.asks_production:
            context.append(f"production {state.production.version}")
        if step.shows_commit:
            context.append(f"commit {state.commit} dirty {state.dirty}")
        if state.spec.split.validation is not None and step.asks_part:
            context.append(f"part {state.part}")
            if step.reads_ledger and state.part == "validation":
                # Only what was asked before can change a verdict; a test part is asked
                # once, and what others ask meanwhile does not change what it says.
                context.append(f"asked {digest_of_questions(state.questions)}")
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
        if APART and step.runs_user_code:
            ok = self._run_apart(step)
            if step is test.STEP:
                self._require_figures()
        else:
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


def _questions(context: RunContext, name: str, spec: ModelSpec) -> tuple[Question, ...]:
    """Return what was asked before; nothing where everything is judged on the test."""
    if spec.split.validation is None:
        return ()
    return context.questions(name)


def digest_of_questions(questions: tuple[Question, ...]) -> str:
    """Return one digest of what was asked before."""
    entries = [question.model_dump(mode="json") for question in questions]
    return sha256(canonical_json(entries))
