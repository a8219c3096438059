"""The grammar of tags, their replay, and GTO as a witness."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from mlops.errors import Refused, UsageError
from mlops.registry import tags
from mlops.registry.tags import Event, parse, replay, resolve, tag_name

from .registry_world import MODEL, NOW, World, git, world_fixture  # noqa: F401

names = st.from_regex(r"[a-z]([a-z0-9_]{0,10}[a-z0-9])?", fullmatch=True)
stages = st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9/_-]{0,10}[A-Za-z0-9])?", fullmatch=True)
numbers = st.tuples(*[st.integers(0, 2000)] * 3).map(lambda v: "v{}.{}.{}".format(*v))
counters = st.none() | st.integers(0, 999_999_999)
kinds = st.sampled_from(list(tags.FORMS))


@given(kinds, names, numbers, stages, counters)
def test_every_form_reads_back(
    kind: tags.Kind, model: str, version: str, stage: str, counter: int | None
) -> None:
    event = parse(tag_name(kind, counter, model=model, version=version, stage=stage))
    assert event is not None
    assert (event.kind, event.model, event.counter) == (kind, model, counter)
    assert event.version == (version if kind in ("register", "deregister") else None)
    assert event.stage == (stage if kind in ("assign", "unassign") else None)


@given(
    st.text(max_size=30)
    | st.from_regex(r"[a-z]{1,3}[@#!][v0-9.a-z#!]{0,9}", fullmatch=True)
)
def test_what_parses_is_written_back_the_same_up_to_zeros(text: str) -> None:
    event = parse(text)
    if event is not None:
        parts = {
            k: v
            for k, v in event._asdict().items()
            if k in ("model", "version", "stage")
        }
        again = tag_name(event.kind, event.counter, **parts)
        assert parse(again) == event._replace(tag=again)
        assert again == text or "#0" in text


@pytest.mark.parametrize(
    "tag",
    [
        "churn",
        "churn@",
        "churn@v1",
        "churn@v1.2",
        "churn@1.2.3",
        "churn@v01.2.3",
        "v1.0.0",
        "churn@v1.2.3-rc1",
        "churn@v1.2.3!!",
        "churn@v1.2.3#",
        "churn#",
        "churn#prod#",
        "churn@created",
        "churn#prod#x",
        "Churn@v1.0.0",
        "churn_@v1.0.0",
        "churn@v1.0.0\n",
        "churn#prod!7",
        "churn@v1.0.٣",
    ],
)
def test_what_is_not_in_the_grammar(tag: str) -> None:
    assert parse(tag) is None


# -- replay ----------------------------------------------------------------------------


def event(tag: str, time: int, commit: str = "", text: str = "") -> Event:
    parsed = parse(tag)
    assert parsed
    return parsed._replace(time=time, commit=commit or parsed.version or "", text=text)


HISTORY = [
    event("m@v1.0.0", 1),
    event("m@v1.1.0", 2),
    event("m@v1.10.0", 3),
    event("m#prod#1", 4, "v1.0.0"),
    event("m#prod#2", 5, "v1.1.0"),
    event("m#test#3", 6, "v1.10.0"),
]


@given(st.permutations(HISTORY))
def test_order_of_reading_does_not_matter(events: list[Event]) -> None:
    state = replay(events)
    model = state.models["m"]
    assert state.warnings == ()
    assert list(model.versions) == ["v1.0.0", "v1.1.0", "v1.10.0"]
    assert {s: v.number for s, v in model.stages.items()} == {
        "prod": "v1.1.0",
        "test": "v1.10.0",
    }
    assert model.latest and model.latest.number == "v1.10.0"
    assert model.counter == 3 and [e.time for e in model.events] == [1, 2, 3, 4, 5, 6]
    before = model.before("prod")
    assert before and before.number == "v1.0.0"
    assert model.ever_in("prod") == {"v1.0.0", "v1.1.0"}


@given(
    st.lists(
        st.tuples(st.sampled_from(["assign", "unassign"]), st.integers(0, 3)),
        max_size=20,
    )
)
def test_the_last_assignment_that_was_not_taken_back_holds_the_stage(
    steps: list[tuple[tags.Kind, int]],
) -> None:
    events = [event(f"m@v1.{i}.0", i) for i in range(4)]
    held: list[int] = []
    for at, (kind, number) in enumerate(steps):
        tag = tag_name(kind, at + 1, model="m", stage="prod")
        events.append(event(tag, at + 10, f"v1.{number}.0"))
        held = [n for n in held if n != number] + ([number] if kind == "assign" else [])
    model = replay(events).models["m"]
    assert [v.number for v in model.stages.values()] == [f"v1.{n}.0" for n in held[-1:]]


def test_the_counter_decides_within_one_second() -> None:
    same = [*HISTORY, event("m#prod#10", 7, "v1.10.0"), event("m#prod#9", 7, "v1.0.0")]
    assert replay(same).models["m"].stages["prod"].number == "v1.10.0"


def test_rollbacks_go_back_and_not_to_and_fro() -> None:
    def back(n: int, version: str, present: str) -> list[Event]:
        again = event(
            f"m#prod#{n}", n + 10, version, f"Roll back\n\nRollback: {present}"
        )
        return [again, event(f"m#prod!#{n + 1}", n + 11, present)]

    events = [*HISTORY, event("m#prod#4", 7, "v1.10.0"), *back(5, "v1.1.0", "v1.10.0")]
    before = replay(events).models["m"].before("prod")
    assert before and before.number == "v1.0.0"
    twice = [*events, *back(7, "v1.0.0", "v1.1.0")]
    assert replay(twice).models["m"].stages["prod"].number == "v1.0.0"
    assert replay(twice).models["m"].before("prod") is None
    forward = replay([*events, event("m#prod#7", 30, "v1.10.0")]).models["m"]
    assert forward.before("prod") is forward.versions["v1.1.0"]


def test_withdrawn_versions_hold_no_stage_and_are_not_latest() -> None:
    events = [*HISTORY, event("m@v1.1.0!", 9), event("m@v1.10.0!", 10)]
    model = replay(events).models["m"]
    assert model.stages["prod"].number == "v1.0.0" and "test" not in model.stages
    assert model.latest is model.versions["v1.0.0"]
    again = replay([*events, event("m@v1.1.0#4", 11, "v1.1.0")]).models["m"]
    assert again.stages["prod"].number == "v1.1.0"


def test_retired_until_something_happens_again() -> None:
    retired = replay([*HISTORY, event("m@deprecated", 9)]).models["m"]
    assert retired.deprecated
    assert retired.events[-1] == event("m@deprecated", 9)
    assert retired.counter == 3
    assert (
        not replay([*HISTORY, event("m@deprecated", 9), event("m@v2.0.0", 10)])
        .models["m"]
        .deprecated
    )


def test_events_that_make_no_sense_are_reported_and_change_nothing() -> None:
    odd = [
        event("m#other!#7", 9, "elsewhere"),
        event("m@v9.0.0!", 9),
        event("m@v1.0.0#2", 9, "elsewhere"),
        event("other#prod#1", 9, "v1.0.0"),
    ]
    state = replay(
        [*HISTORY, *odd], [("m@latest", "is wrong"), ("vendor@2.0", "is foreign")]
    )
    assert list(state.models) == ["m"]
    assert state.models["m"].stages["test"].number == "v1.10.0"
    reported = {warning.split(":")[0] for warning in state.warnings}
    assert reported == {
        "m@v1.0.0#2",
        "m@v9.0.0!",
        "other#prod#1",
        "m#other!#7",
        "m@latest",
    }


@pytest.mark.parametrize("lost", ["deleted", "moved"])
def test_a_stage_whose_version_has_no_tag_is_unresolvable(lost: str) -> None:
    events = [e for e in HISTORY if e.tag != "m@v1.1.0"]
    if lost == "moved":
        events.append(event("m@v1.1.0", 9, "elsewhere"))
    model = replay(events).models["m"]
    assert "prod" not in model.stages and model.holder("prod") is None
    assert "m#prod#2" in model.unresolved["prod"]
    with pytest.raises(Refused, match=r"cannot be resolved.*m#prod#2"):
        resolve(replay(events), "m@prod")
    assert resolve(replay(events), "m@test").number == "v1.10.0", "the others are"


def test_a_stage_is_resolvable_again_when_the_version_has_its_tag_again() -> None:
    late = [e for e in HISTORY if e.tag != "m@v1.1.0"] + [event("m@v1.1.0", 99)]
    assert resolve(replay(late), "m@prod").number == "v1.1.0"


def test_a_stage_is_resolvable_again_after_a_newer_assignment() -> None:
    events = [e for e in HISTORY if e.tag != "m@v1.1.0"]
    events.append(event("m#prod#4", 9, "v1.0.0"))
    assert resolve(replay(events), "m@prod").number == "v1.0.0"


def test_a_lost_only_version_is_named_too() -> None:
    given_by_us = event("m#prod#1", 4, "v1.0.0", "Promote\n\nManifest-SHA256: 1")
    with pytest.raises(Refused, match=r"cannot be resolved.*m#prod#1"):
        resolve(replay([given_by_us]), "m@prod")


def test_a_removal_is_known_by_stage_and_version_until_it_is_assigned_again() -> None:
    taken_out = event("m#prod!#4", 7, "v1.1.0")
    model = replay([*HISTORY, taken_out]).models["m"]
    assert model.removed == {
        ("prod", "v1.1.0"): taken_out._replace(version="v1.1.0"),
    }
    again = event("m#prod#5", 8, "v1.1.0")
    assert replay([*HISTORY, taken_out, again]).models["m"].removed == {}


def test_a_removal_of_what_is_no_version_belongs_to_the_stage_alone() -> None:
    nowhere = event("m#prod!#4", 7, "elsewhere")
    model = replay([*HISTORY, nowhere]).models["m"]
    assert model.removed == {("prod", ""): nowhere}
    assert model.stages["prod"].number == "v1.1.0"


def test_a_doubt_is_about_one_stage() -> None:
    both = [*HISTORY, event("m#test#4", 7, "v1.1.0")]
    model = replay(both).models["m"]
    assert model.versions["v1.1.0"].stages == ("prod", "test")
    model.doubt("prod", "nobody approved it")
    assert model.versions["v1.1.0"].stages == ("test",)
    assert (list(model.stages), list(model.unresolved)) == (["test"], ["prod"])
    with pytest.raises(Refused) as caught:
        model.in_stage("prod")
    assert "m@prod cannot be resolved: nobody approved it" in str(caught.value)
    assert "mlops promote m@VERSION prod --override-rejection" in str(caught.value)


def test_a_model_that_nobody_registered_is_named_with_those_that_are() -> None:
    with pytest.raises(UsageError) as caught:
        resolve(replay(HISTORY), "churn@latest")
    (problem,) = caught.value.problems
    assert problem.what == "no version of this model is registered"
    assert (problem.found, problem.allowed) == ("churn", "m")
    assert problem.do.startswith("name MODEL@VERSION, MODEL@latest or MODEL@STAGE")


def test_a_version_that_is_none_is_named_with_those_that_are() -> None:
    with pytest.raises(UsageError) as caught:
        resolve(replay(HISTORY), "m@v9.0.0")
    (problem,) = caught.value.problems
    assert problem.what.startswith("`m` has no version of this name")
    assert problem.found == "m@v9.0.0"
    allowed = problem.allowed.replace(" or ", ", ").split(", ")
    assert allowed == ["latest", "prod", "test", "v1.10.0", "v1.1.0", "v1.0.0"]


@given(st.text(max_size=60))
def test_only_the_last_paragraph_holds_trailers(text: str) -> None:
    body = f"Register m v1.0.0\n\nApprover: @eve\n{text}\n\nActor: @ana\nReason: x: y"
    assert event("m@v1.0.0", 1, text=body).trailers == {
        "Actor": "@ana",
        "Reason": "x: y",
    }


@pytest.mark.parametrize(
    ("ref", "number"),
    [
        ("m@v1.0.0", "v1.0.0"),
        ("m@prod", "v1.1.0"),
        ("m#prod", "v1.1.0"),
        ("m@latest", "v1.10.0"),
    ],
)
def test_resolve(ref: str, number: str) -> None:
    assert resolve(replay(HISTORY), ref).number == number


@pytest.mark.parametrize(
    ("ref", "word"),
    [
        ("m@prd", "did you mean `prod`"),
        ("m@v1.0.1", "v1.10.0"),
        ("n@prod", "m"),
        ("m", "MODEL@STAGE"),
    ],
)
def test_resolve_says_what_there_is(ref: str, word: str) -> None:
    with pytest.raises(UsageError, match=word):
        resolve(replay(HISTORY), ref)


# -- real tags -------------------------------------------------------------------------


def test_foreign_and_malformed_tags(world: World) -> None:
    world.release("one")
    for tag in ("v2", "lib@1.0", "churn@v7", "Ω"):
        git(world.root, "tag", "-am", "foreign", tag)
    git(world.root, "tag", "churn@v9.0.0")
    git(world.root, "tag", "-am", "a blob", "churn@v8.0.0", "HEAD:project.yaml")
    state = tags.read_registry(world.root)
    assert list(state.models[MODEL].versions) == ["v1.0.0"]
    assert {w.split(":")[0] for w in state.warnings} == {
        "churn@v7",
        "churn@v8.0.0",
        "churn@v9.0.0",
    }


def test_a_tag_says_when_by_whom_and_about_what(world: World) -> None:
    env = {"GIT_COMMITTER_DATE": "1764460800 +0100", "GIT_COMMITTER_NAME": "Eve"}
    text = "Register churn v1.0.0\n\nActor: @ana\nReason: first"
    subprocess.run(
        ["git", "tag", "-am", text, "churn@v1.0.0"],
        cwd=world.root,
        check=True,
        env={**os.environ, **env},
    )
    (found,) = tags.read_registry(world.root).models[MODEL].events
    assert found == Event(
        kind="register",
        model="churn",
        version="v1.0.0",
        stage=None,
        counter=None,
        tag="churn@v1.0.0",
        oid=git(world.root, "rev-parse", "churn@v1.0.0"),
        commit=git(world.root, "rev-parse", "HEAD"),
        time=1764460800,
        tagger="Eve",
        text=found.text,
    )
    assert found.trailers == {"Actor": "@ana", "Reason": "first"}
    assert found.actor == "@ana"


def test_nothing_registered(world: World) -> None:
    assert tags.read_registry(world.root) == tags.State()
    with pytest.raises(UsageError, match="nothing is registered yet"):
        resolve(tags.read_registry(world.root), "churn@latest")


def fast_import(root: Path, versions: int) -> None:
    """Write a registry of so many versions in one go."""
    head = git(root, "rev-parse", "HEAD")
    stream = []
    for at in range(versions):
        who = f"committer T <t@t> {1700000000 + at} +0000\n"
        parent = f"from {head}\n"
        stream.append(
            f"commit refs/temporary\nmark :{at + 1}\n{who}data 1\nx\n{parent}\n"
        )
    for at in range(versions):
        who = f"tagger T <t@t> {1700000000 + at} +0000\n"
        text = f"Register\n\nActor: @ana\nManifest-SHA256: {'0' * 64}\n"
        tag = f"churn@v1.{at}.0"
        stream.append(f"tag {tag}\nfrom :{at + 1}\n{who}data {len(text)}\n{text}\n")
    done = "reset refs/temporary\nfrom 0000000000000000000000000000000000000000\n\n"
    subprocess.run(
        ["git", "fast-import", "--quiet", "--force"],
        cwd=root, input="".join([*stream, done]), text=True, check=True,
    )  # fmt: skip


def test_reading_versions_is_linear_in_their_number(world: World) -> None:
    seconds = {}
    for count in (2_500, 10_000):
        fast_import(world.root, count)
        git(world.root, "pack-refs", "--all")
        best = []
        for _ in range(3):
            begun = time.process_time()
            state = tags.read_registry(world.root)
            best.append(time.process_time() - begun)
        assert len(state.models[MODEL].versions) == count
        seconds[count] = min(best)
    assert seconds[10_000] < 8 * seconds[2_500]


def test_reading_imports_nothing_heavy() -> None:
    code = (
        "import sys, mlops.registry.tags\n"
        "heavy = {'pandas', 'numpy', 'sklearn', 'pydantic', 'skops', 'ruamel.yaml'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    engine = Path(tags.__file__).parents[2]
    out = subprocess.run(
        [sys.executable, "-c", code], cwd=engine, capture_output=True, text=True
    )
    assert out.stdout.strip() == "[]", out.stderr


# -- GTO reads our registry ------------------------------------------------------------


def agree(world: World) -> None:
    """Assert that GTO shows the versions, stages and events that we do."""
    import gto.api

    state = tags.read_registry(world.root).models[MODEL]
    theirs = {
        v["version"]: (v["commit_hexsha"], sorted(s["stage"] for s in v["stages"]))
        for v in gto.api.show(str(world.root), MODEL, deprecated=state.deprecated)
        if v["is_active"]
    }
    ours = {
        v.number: (v.commit, sorted(v.stages))
        for v in state.versions.values()
        if v.active
    }
    assert theirs == ours
    assert (MODEL in gto.api.show(str(world.root))) is not state.deprecated
    table = gto.api.show(str(world.root), deprecated=state.deprecated)[MODEL]
    holders = {stage: version.number for stage, version in state.stages.items()}
    assert {s: v for s, v in table["stage"].items() if v} == holders
    assert table["version"] == (state.latest.number if state.latest else None)
    history = gto.api.history(str(world.root), MODEL, ascending=True)
    assert [e["ref"] for e in history] == [e.tag for e in state.events]
    for event in state.events[-6:]:
        (checked,) = gto.api.check_ref(str(world.root), event.tag)
        version = getattr(checked, "version", None)  # a retirement is of the model
        found = (checked.tag, checked.artifact, version, checked.commit_hexsha)
        assert found == (event.tag, event.model, event.version, event.commit)


def stages_of(state: tags.ModelState, number: str) -> list[str]:
    """Return the stages that a version was assigned to and not taken out of."""
    out: dict[str, None] = {}
    for e in state.events:
        if e.version == number and e.stage:
            if e.kind == "assign":
                out[e.stage] = None
            else:
                out.pop(e.stage, None)
    return list(out)


def test_gto_agrees(world: World) -> None:
    for name in ("one", "two", "three"):
        world.release(name)
    for number in ("v1.0.0", "v1.1.0", "v1.2.0"):
        world.promote(number, "staging")
        world.now = NOW  # a clock that was set back changes nothing
        world.promote(number, "production")
    agree(world)
    world.rollback("production")
    world.rollback("production")
    agree(world)
    program = Path(sys.executable).with_name("gto")
    command = [
        str(program),
        "show",
        f"{MODEL}#production",
        "--json",
        "--repo",
        str(world.root),
    ]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert [v["version"] for v in json.loads(shown)] == ["v1.0.0"]
    world.release("four")
    git_at(
        world, "churn@v1.3.0!", git(world.root, "rev-parse", "churn@v1.3.0^{commit}"), 0
    )
    agree(world)


VERBS = ("promote", "promote", "rollback", "reject", "withdraw", "deprecate")
STEPS = st.tuples(
    st.sampled_from(VERBS),
    st.integers(0, 3),
    st.sampled_from(["staging", "production"]),
    st.booleans(),
)


@pytest.fixture(scope="module")
def four(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A registry of four versions, whose copies live on in different ways."""
    with pytest.MonkeyPatch.context() as patch:
        for who in ("AUTHOR", "COMMITTER"):
            patch.setenv(f"GIT_{who}_NAME", "Test")
            patch.setenv(f"GIT_{who}_EMAIL", "test@example.com")
        world = World(tmp_path_factory.mktemp("four") / "acme").create()
        for at in range(4):
            world.release(f"release {at}")
        yield world


# Each life takes a second or two: some, always the same, and no time spent on a shorter
# one.
@settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(steps=st.lists(STEPS, min_size=4, max_size=14))
def test_gto_agrees_whatever_is_decided(
    four: World, tmp_path: Path, steps: list[tuple[str, int, str, bool]]
) -> None:
    root = tmp_path / "life"
    shutil.rmtree(root, ignore_errors=True)
    shutil.copytree(four.root, root, symlinks=True)
    world = World(root)
    for command, at, stage, override in steps:
        number = f"v1.{at}.0"
        with suppress(Refused):
            if command == "rollback":
                world.rollback(stage)
            elif command == "deprecate":
                world.deprecate()
            elif command == "withdraw":
                world.withdraw(number)
            elif command == "reject":
                world.reject(number, stage)
            else:
                world.promote(number, stage, override=override)
    agree(world)


def test_gto_agrees_on_random_lives(world: World) -> None:
    rng = random.Random(4)
    numbers = [world.release(f"release {at}") for at in range(4)]
    state = tags.read_registry(world.root).models[MODEL]
    for at in range(14):
        number, stage = rng.choice(numbers), rng.choice(["staging", "production"])
        kind: tags.Kind = rng.choice(["assign", "assign", "unassign"])
        if kind == "unassign" and stage not in stages_of(state, number):
            continue
        tag = tag_name(kind, state.counter + 1, model=MODEL, stage=stage)
        git_at(world, tag, state.versions[number].commit, at)
        state = tags.read_registry(world.root).models[MODEL]
    agree(world)


def git_at(world: World, tag: str, commit: str, at: int) -> None:
    env = {"GIT_COMMITTER_DATE": f"{int(NOW.timestamp()) + 10_000 + at} +0000"}
    subprocess.run(
        ["git", "tag", "-am", "by hand", tag, commit],
        cwd=world.root, check=True, env={**os.environ, **env},
    )  # fmt: skip
