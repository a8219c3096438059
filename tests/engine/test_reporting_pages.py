"""The pages: true, whole, the same bytes, and nothing of a broken release."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from mlops.cli.main import app
from mlops.config.project import Project
from mlops.errors import EnvironmentFailure, UsageError
from mlops.io import files, git_objects
from mlops.io.files import write_folder
from mlops.registry import assets
from mlops.reporting import site as pages
from mlops.reporting import site_sources
from mlops.reporting.site import OURS, Site, site
from mlops.reporting.words import NONE
from mlops.results.evaluation import Metric
from mlops.results.runs import Record
from mlops.results.verdict import Condition
from mlops.runlog import journal
from mlops.storage.folder import FolderStore

from .grown import Grown, Size
from .html_page import Page
from .registry_world import MODEL, SPEC, World, git

ENGINE = Path(__file__).parents[2] / "{{cookiecutter.project_slug}}"
AT = datetime(2026, 11, 26, 9, 0, tzinfo=UTC)
HUB = "https://github.com/acme/demo"
ATTACK = (
    "<script>alert(1)</script><img src=https://evil.example/x> "
    "[x](javascript:alert(1)) {{ 7*7 }}"
)
CARD = """---
library_name: sklearn
---

# churn

<script>alert(1)</script> ![x](https://evil.example/x) [x](https://evil.example) <https://evil.example>

| | |
|---|---|
| Owner | &#64;ana |

<details><summary>Columns &#60;b&#62;</summary>

| ✅ Column |
|---|
| age &#60;script&#62; |

</details>
"""


@pytest.fixture(name="world")
def world_with_reports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A repository whose releases hold a report and a card."""
    real = assets.gather

    def gather(project: Any, name: str, rows: bool) -> dict[str, Path]:
        build = project.build(name)
        model = (build / "model.skops").read_text()
        texts = {
            "report.html": f"<!doctype html><title>Report of {model}</title>",
            "card.md": CARD,
        }
        for asset, text in texts.items():
            (build / asset).write_text(text)
        return real(project, name, rows)

    monkeypatch.setattr(assets, "gather", gather)
    return World(tmp_path / "acme").create()


def made(world: World, address: str = HUB) -> Site:
    return site(world.project, world.store, AT, address)


def first(world: World, address: str = HUB) -> Page:
    """Return the first page, which asks for nothing and whose links lead somewhere."""
    found = made(world, address)
    page = Page(found.files["index.html"].decode())
    ids = [a["id"] for _, a in page.elements if a.get("id")]
    assert len(ids) == len(set(ids))
    assert not {"script", "img", "iframe", "object", "form"} & {
        tag for tag, _ in page.elements
    }
    for tag, attributes in page.elements:
        assert not any(name.startswith("on") or name == "src" for name in attributes)
        href = attributes.get("href") or ""
        if tag == "a" and not href.startswith(f"{HUB}/") and href != HUB:
            assert href in found.files or href.removeprefix("#") in ids, href
    policy = next(m["content"] for m in page.all("meta") if "http-equiv" in m)
    assert policy and policy.startswith("default-src 'none'")
    return page


def rows(world: World, address: str = HUB) -> dict[str, str]:
    """Return the rows of all tables: tone and cells by the first cell."""
    found = {}
    text = made(world, address).files["index.html"].decode()
    for tone, cells in re.findall(r'<tr(?: class="(\w+)")?>(.*?)</tr>', text):
        texts = [
            Page(cell).text for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", cells)
        ]
        found[texts[0]] = " | ".join([tone, *texts[1:]]).replace(NONE, "-")
    return found


def four_versions(world: World) -> None:
    """Make v1.1.0 (production, after a rollback), v1.2.0 (staging), v1.0.0, v1.3.0."""
    for number in ("v1.0.0", "v1.1.0", "v1.2.0"):
        assert world.release(f"model {number}") == number
        world.promote(number, "staging", reason="delivered")
        world.promote(
            number, "production", reason=f"better: {number}", approver="@carol"
        )
    world.rollback("production", reason="complaints", approver="@dan")
    assert world.release("model v1.3.0") == "v1.3.0"


def record(number: int, **changes: Any) -> Record:
    facts: dict[str, Any] = {
        "id": f"run-{number}",
        "model": MODEL,
        "started": f"2026-11-23T12:{number:02}:00+00:00",
        "seconds": 1,
        "stages": {},
        "outcome": "promote",
        "actor": "@bob",
        "metrics": (
            Metric(name="roc_auc", value=0.7 + number / 100, low=0.6, high=0.9),
        ),
    }
    return Record(**{**facts, **changes})


# -- what it says ----------------------------------------------------------------------


def test_who_put_what_where_when_and_why(world: World) -> None:
    four_versions(world)
    page = first(world)
    assert "churn v1.1.0 is in production." in page.text
    assert (
        "Every version that is in a stage was verified to its last byte." in page.text
    )
    place = page.text.split("production\nv1.1.0")[1].split("Task")[0].split("\n")
    said = [
        "since 2026-11-23 12:10 UTC, by @ana",
        "back from v1.2.0",
        "approved by @dan",
        "why: complaints",
        "Not declared in model.yaml: a floor (checks.floor), slices (slices.columns), "
        "a limit between groups (fairness).",
        "Not written in model.yaml: limits, reason for the risk.",
    ]
    assert [line for line in place if line] == said
    assert (
        "binary: predicts churn" in page.text and "Tests of the registry." in page.text
    )
    happened = rows(world)
    back = " | put v1.1.0 into production, back from v1.2.0 | @ana | @dan | complaints"
    assert happened["2026-11-23 12:10"] == back
    assert happened["2026-11-23 12:09"].endswith("| @ana | @carol | better: v1.2.0")
    assert list(happened).index("2026-11-23 12:10") < list(happened).index(
        "2026-11-23 12:09"
    )


def test_versions_are_listed_newest_first_with_what_speaks_for_them(
    world: World,
) -> None:
    four_versions(world)
    world.promote("v1.1.0", "staging")
    git(
        world.root,
        "tag",
        "-a",
        "churn@v1.2.0!",
        "churn@v1.2.0^{}",
        "-m",
        "Withdraw\n\nActor: @a",
    )
    shown = rows(world)
    versions = [key for key in shown if key.startswith("v")]
    assert versions == ["v1.3.0", "v1.2.0", "v1.1.0", "v1.0.0"]
    facts = (
        " | 2026-11-23 by @ana | minor: code changed | "
        "ROC AUC 0.900 (0.800 to 0.950) | 1 row"
    )
    facts += " | promote, first version | "
    assert shown["v1.3.0"] == f" | -{facts}report · card · release"
    assert shown["v1.2.0"] == f"unsure | withdrawn{facts}-"
    assert (
        shown["v1.1.0"] == f"good | staging, production{facts}report · card · release"
    )
    page = first(world)
    assert "4 versions" in page.text
    assert "churn/v1.3.0/report.html" in str(page.all("a"))


def test_there_are_pages_of_what_is_in_a_stage_and_of_the_newest(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    four_versions(world)
    monkeypatch.setattr(site_sources, "_KEPT", 2)
    monkeypatch.setattr(site_sources, "_LISTED", 2)
    files = made(world).files
    # v1.2.0 is in staging and v1.1.0 in production; of the others, first those that
    # were in one.
    assert {path.split("/")[1] for path in files if "/" in path} == {"v1.2.0", "v1.1.0"}
    page = first(world)
    assert "3 versions, and 1 older" in page.text
    assert rows(world)["v1.3.0"].endswith(" | release")
    assert rows(world, "")["v1.3.0"].endswith(" | -")  # no GitHub, no link


def test_the_last_runs_are_listed_and_lead_to_their_pages(world: World) -> None:
    world.release("a model")
    for number in range(12):
        journal.append(
            world.project, record(number, run_url=f"{HUB}/actions/runs/{number}")
        )
    changed = {"outcome": "reject", "pull_request": 7, "run_url": "javascript:alert(1)"}
    journal.append(world.project, record(12, **changed))
    page = first(world)
    shown = rows(world)
    last = "bad | reject | ROC AUC 0.820 (0.600 to 0.900) | @bob | #7"
    assert shown["2026-11-23 12:12"] == last
    runs = [begun for begun, cells in shown.items() if "@bob" in cells]
    assert runs == [f"2026-11-23 12:{number:02}" for number in range(12, 2, -1)]
    assert shown[runs[1]].startswith("good | promote") and shown[runs[1]].endswith(
        "| run"
    )
    links = [a["href"] for a in page.all("a")]
    assert f"{HUB}/pull/7" in links and f"{HUB}/actions/runs/11" in links
    assert not any("javascript" in str(link) for link in links)


def test_the_monitors_last_check_is_an_alarm_only_while_it_is_one(world: World) -> None:
    world.release("a model")

    def check(day: str, content: bytes) -> None:
        env = git_objects.identity(world.root, "@bot", 1790000000)
        tip = git_objects.value(world.root, journal.LOCAL)
        files = {f"monitor/{MODEL}/2026/11/{day}.json": content}
        new = git_objects.commit(
            world.root, [tip] if tip else [], files, "A check", env
        )
        git(world.root, "update-ref", journal.LOCAL, new)

    found = {
        "alarm": True,
        "until": "2026-11-20T05:41:00+00:00",
        "reasons": ["age has drifted"],
    }
    check("20261120", json.dumps(found).encode())
    assert (
        "churn: alarm of the monitor, 2026-11-20 05:41: age has drifted."
        in first(world).text
    )
    said = made(world).summary
    assert said.tone == "unsure"
    assert said.title == (
        "churn: alarm of the monitor, 2026-11-20 05:41; churn waits for production."
    )
    assert said.lines == ()  # the title says it, and the model in full
    assert first(world).text.count("age has drifted") == 1
    long = "the rate of the column age rose and stays where it was not before, " * 5
    check("20261121", json.dumps({**found, "reasons": [long, "b"]}).encode())
    assert f"{long[:60]}" in first(world).text
    assert "\u2026" not in first(world).text
    assert "; and 1 more." in first(world).text
    check("20261122", json.dumps({**found, "alarm": False}).encode())
    assert (
        "alarm of the monitor" not in first(world).text
        and made(world).summary.tone == "good"
    )
    check("20261123", b"{")
    assert "the monitor's last check cannot be read" in first(world).text


def test_before_the_first_version_it_says_what_to_do(world: World) -> None:
    text = first(world).text
    assert "Nothing is registered yet." in text
    assert (
        "Begin with: mlops run churn; mlops register churn; mlops promote churn@latest"
        in text
    )
    (world.project.folder(MODEL) / "model.yaml").unlink()
    text = first(world).text
    assert "There is no model yet." in text and "mlops new NAME --data FILE" in text


def test_several_models_have_an_index_and_one_without_a_folder_is_still_known(
    world: World,
) -> None:
    world.release("a model")
    world.promote("v1.0.0", "staging")
    folder = world.project.folder(MODEL)
    folder.rename(folder.with_name("gone"))
    for name, text in (("other", SPEC), ("odd", "task: nothing")):
        (folder.with_name(name)).mkdir()
        (folder.with_name(name) / "model.yaml").write_text(text)
    (folder.with_name("gone") / "model.yaml").unlink()
    page = first(world)
    assert "In production: 0 of 3 models." in page.text
    assert "Production" in rows(world)["Model"]
    assert [a["href"] for a in page.all("a")][:3] == ["#churn", "#odd", "#other"]
    assert rows(world)["churn"] == " | v1.0.0 | - | - | -"
    assert "there is no model of this name" in page.text and "nothing yet" in page.text


def test_what_nobody_wrote_has_its_mark(world: World) -> None:
    world.release("a model")
    text = first(world).text
    assert "Tests of the registry." in text  # the intended use is written
    assert text.count("\u270e not written") == 2  # limits, and the reason for the risk


def test_what_is_not_known_of_a_version_stands_where_it_is_in_a_stage(
    world: World,
) -> None:
    world.change_code("a model")
    checks = Condition(name="checks", ok=True, asked=28, answered=27)
    world.build("a model", conditions=(checks,))
    world.register()
    assert "Partly measured" not in first(world).text
    world.promote("v1.0.0", "staging")
    text = first(world).text
    assert text.count("Partly measured: checks (27 of 28).") == 1
    assert "Not declared in model.yaml: a floor (checks.floor)" in text
    assert "Not written in model.yaml: limits" in text


def test_a_retired_model_says_so(world: World) -> None:
    world.release("a model")
    git(world.root, "tag", "-a", "churn@deprecated", "churn@v1.0.0^{}", "-m", "Retire")
    page = first(world)
    assert "churn is retired." in page.text and "retired the model" in page.text
    for name in ("one", "other"):
        folder = world.project.folder(MODEL).with_name(name)
        folder.mkdir()
        (folder / "model.yaml").write_text(SPEC)
    assert "in production: 0 of 2 models." in first(world).text


# -- what is broken --------------------------------------------------------------------


def spoil(asset: str) -> Callable[[World, str], None]:
    def act(world: World, number: str) -> None:
        path = world.store.root / MODEL / number / asset
        path.write_bytes(path.read_bytes() + b" ")

    return act


def other_tag(world: World, number: str) -> None:
    tag = f"{MODEL}@{number}"
    text = git(world.root, "for-each-ref", "--format=%(contents)", f"refs/tags/{tag}")
    text = re.sub("Manifest-SHA256: .*", f"Manifest-SHA256: {'0' * 64}", text)
    date = git(
        world.root, "for-each-ref", "--format=%(taggerdate:iso)", f"refs/tags/{tag}"
    )
    force = ["git", "tag", "-f", "-a", tag, f"{tag}^{{}}", "-m", text]
    env = {**os.environ, "GIT_COMMITTER_DATE": date}
    subprocess.run(force, cwd=world.root, env=env, check=True, capture_output=True)


def missing(world: World, number: str) -> None:
    (world.store.root / MODEL / number / "report.html").unlink()


BREAKS: dict[str, tuple[Callable[[World, str], None], str]] = {
    "report": (spoil("report.html"), "broken at manifest → asset"),
    "card": (spoil("card.md"), "broken at manifest → asset"),
    "model": (spoil("model.skops"), "broken at manifest → asset"),
    "manifest": (spoil("manifest.json"), "broken at tag → manifest in the store"),
    "tag": (other_tag, "broken at tag → manifest"),
    "missing": (missing, "the release store does not hold this file"),
}


@pytest.mark.parametrize("name", BREAKS)
def test_a_release_that_does_not_verify_is_shown_so_and_none_of_it_is_published(
    world: World, name: str
) -> None:
    four_versions(world)
    assert sum(path.startswith("churn/v1.1.0/") for path in made(world).files) == 2
    act, link = BREAKS[name]
    act(world, "v1.1.0")
    found, page = made(world), first(world)
    assert not [path for path in found.files if path.startswith("churn/v1.1.0/")]
    assert {path.split("/")[1] for path in found.files if "/" in path} == {
        *("v1.0.0", "v1.2.0", "v1.3.0")
    }
    assert found.summary.tone == "bad"
    assert "1 release not to be used" in found.summary.title
    shown = rows(world)
    assert shown["v1.2.0"].startswith("good | ")
    cells = shown["v1.1.0"].split(" | ")
    assert cells[0] == "bad" and cells[-1] == "release" and "ROC" not in shown["v1.1.0"]
    assert cells[-2].startswith("do not use it, ") and link in cells[-2]
    # In short on top, in full at the model.
    assert "churn@v1.1.0 is not to be used" in found.summary.lines
    assert page.text.count(f"churn@v1.1.0: {cells[-2]}") == 1


def test_an_older_version_is_verified_as_far_as_it_is_published(world: World) -> None:
    four_versions(world)
    spoil("model.skops")(world, "v1.3.0")  # of no stage: nobody loads it here
    assert made(world).summary.tone == "good"
    spoil("card.md")(world, "v1.3.0")
    assert made(world).summary.tone == "bad"


def test_a_clone_without_the_store_says_that_and_not_that_anything_is_broken(
    world: World, tmp_path: Path
) -> None:
    four_versions(world)
    clone = world.clone(tmp_path / "clone")
    found = made(clone)
    assert found.summary.tone == "unsure" and list(found.files) == ["index.html"]
    said = [f"churn@{v} could not be verified" for v in ("v1.2.0", "v1.1.0")]
    assert list(found.summary.lines) == said
    why = "churn@v1.2.0: the store here does not hold its files"
    assert first(clone).text.count(why) == 1
    shown = rows(clone)["v1.3.0"]  # what git holds is known all the same
    assert shown.startswith("unsure | - | ") and "ROC AUC 0.900" in shown
    other_tag(clone, "v1.3.0")
    assert made(clone).summary.tone == "bad"
    assert (
        "do not use it, the chain of digests is broken at tag" in rows(clone)["v1.3.0"]
    )


def test_many_broken_releases_are_counted_and_five_are_told(world: World) -> None:
    for number in range(7):
        world.release(f"model {number}")
        spoil("card.md")(world, f"v1.{number}.0")
    found = made(world)
    assert (
        "7 releases not to be used" in found.summary.title
        and len(found.summary.lines) == 5
    )
    assert "And 2 more, in the table." in first(world).text
    assert sum(cells.startswith("bad | ") for cells in rows(world).values()) == 7


def test_a_store_that_does_not_answer_is_no_broken_chain(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.release("a model")

    def silent(*_: object) -> None:
        raise EnvironmentFailure("GitHub did not answer")

    monkeypatch.setattr(FolderStore, "read", silent)
    with pytest.raises(EnvironmentFailure, match="did not answer"):
        made(world)


# -- what it is made of ----------------------------------------------------------------


def test_text_of_any_origin_adds_no_element(world: World) -> None:
    world.release("a model")
    world.promote("v1.0.0", "staging")
    journal.append(world.project, record(1))
    plain = first(world)
    said = json.dumps(ATTACK)
    text = SPEC.replace('"@ana"', said).replace("Tests of the registry.", said)
    text += f"description: {said}\nlimits: {said}\nrisk_reason: {said}\n"
    (world.project.folder(MODEL) / "model.yaml").write_text(text)
    world.commit("Hostile")
    hostile = {"outcome": ATTACK, "actor": ATTACK, "run_url": f"{HUB}/{ATTACK}"}
    journal.append(world.project, record(2, **hostile))
    world.promote("v1.0.0", "production", actor=ATTACK, approver=ATTACK, reason=ATTACK)
    page = first(world)
    assert {tag for tag, _ in page.elements} <= {tag for tag, _ in plain.elements}
    names = {name for _, a in plain.elements for name in a}
    assert {name for _, a in page.elements for name in a} <= names
    assert page.text.count(ATTACK) >= 9
    assert not any(
        "evil" in str(value) for _, a in page.elements for value in a.values()
    )


def test_a_card_is_drawn_and_its_markup_is_text(world: World) -> None:
    world.release("a model")
    page = Page(made(world).files["churn/v1.0.0/card.html"].decode())
    assert not {"script", "img", "details", "b"} & {tag for tag, _ in page.elements}
    links = [a["href"] for a in page.all("a")]
    assert links == ["../../index.html#churn", HUB]
    assert "library_name" not in page.text
    assert "<script>alert(1)</script> ![x](https://evil.example/x)" in page.text
    assert (
        "Columns <b>" in page.text
        and "age <script>" in page.text
        and "✓ Column" in page.text
    )
    assert len(page.all("table")) == 2


def test_it_is_the_same_bytes_in_other_processes_and_no_library_of_training_is_loaded(
    world: World,
) -> None:
    four_versions(world)
    for number in range(3):
        journal.append(world.project, record(number))
    code = (
        "import sys\nfrom mlops.cli.main import app\n"
        "app(sys.argv[1:], standalone_mode=False)\n"
        "heavy = {'pandas', 'numpy', 'sklearn', 'matplotlib', 'evidently'}\n"
        "heavy.add('great_expectations')\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    seen = []
    for seed in ("1", "2"):
        env = {
            **os.environ,
            "PYTHONPATH": str(ENGINE / "vendor/mlops/src"),
            "PYTHONHASHSEED": seed,
        }
        env["SOURCE_DATE_EPOCH"] = str(int(AT.timestamp()))
        env = {k: v for k, v in env.items() if not k.startswith("GITHUB_")}
        command = [sys.executable, "-c", code, "pages", "--out", f"site{seed}"]
        done = subprocess.run(
            command, cwd=world.root, env=env, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        folder = world.root / f"site{seed}"
        files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        seen.append({str(p.relative_to(folder)): p.read_bytes() for p in files})
    assert seen[0] == seen[1] == dict(sorted(made(world, "").files.items()))
    assert "As of 2026-11-26 09:00 UTC" in Page(seen[0]["index.html"].decode()).text


def test_an_older_site_is_replaced_as_a_whole_and_nothing_else_is(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    four_versions(world)
    out = tmp_path / "deep" / "site"
    write_folder(made(world).files, out, OURS)
    assert (
        (out / "churn" / "v1.3.0" / "report.html")
        .read_text()
        .endswith("model v1.3.0</title>")
    )
    world.promote("v1.3.0", "staging")
    git(
        world.root,
        "tag",
        "-a",
        "churn@v1.2.0!",
        "churn@v1.2.0^{}",
        "-m",
        "Withdraw\n\nActor: @a",
    )
    write_folder(made(world).files, out, OURS)
    assert not (out / "churn" / "v1.2.0").exists(), "what was withdrawn is gone"
    assert [path.name for path in out.parent.iterdir()] == ["site"]

    def full(path: Path, content: bytes) -> None:
        if "report" in path.name:
            raise OSError(28, "No space left on device")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    before = {path: path.read_bytes() for path in out.rglob("*.html")}
    monkeypatch.setattr(files, "write_bytes", full)
    with pytest.raises(OSError):
        write_folder({**made(world).files, "new.html": b""}, out, OURS)
    assert {path: path.read_bytes() for path in out.rglob("*.html")} == before
    assert [path.name for path in out.parent.iterdir()] == ["site"]

    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "index.html").write_text("my own page")
    for other in (mine, mine / "index.html", world.root):
        with pytest.raises(UsageError, match="this folder holds something else"):
            write_folder({"index.html": b""}, other, OURS)
    assert (mine / "index.html").read_text() == "my own page"


# -- the command -----------------------------------------------------------------------


def test_the_command_says_where_the_page_is(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    four_versions(world)
    monkeypatch.chdir(world.root)
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    monkeypatch.delenv("GITHUB_REPOSITORY", raising=False)
    result: Result = CliRunner().invoke(app, ["pages"])
    assert result.exit_code == 0, result.output
    index = world.root / "build" / "site" / "index.html"
    assert f"{index}, 9 pages" in result.output.replace("\n", "") and index.is_file()
    for text in (result.output, (tmp_path / "summary.md").read_text()):
        assert "churn v1.1.0 is in production." in text
        assert "Not published" not in text  # nobody publishes from a laptop
    again = CliRunner().invoke(app, ["pages", "--out", "site", "--json"])
    assert json.loads(again.stdout)["index"] == "site/index.html"


# -- many models -----------------------------------------------------------------------


@pytest.fixture(name="many")
def many_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Grown:
    """Five models of four owners, where more than two are many."""
    monkeypatch.setattr(pages, "_ON_ONE_PAGE", 2)
    made_by_script = Grown(tmp_path / "many", Size(models=5, versions=10, runs=10))
    made_by_script.fill(Project(made_by_script.root).store)
    return made_by_script


def site_of(grown: Grown) -> Site:
    project = Project(grown.root)
    return site(project, FolderStore(project.store), AT, HUB)


def test_each_of_many_models_has_a_page_of_its_own_and_every_link_leads_somewhere(
    many: Grown,
) -> None:
    files = site_of(many).files
    folders = {"": "index.html"} | {f"{n}/": f"{n}/index.html" for n in many.names}
    for folder, path in folders.items():
        page = Page(files[path].decode())
        for link in page.all("a"):
            href = link["href"] or ""
            if not href.startswith(HUB):
                target = os.path.normpath(f"{folder}{href}")
                assert target in files, f"{path}: {href}"
    assert "m003" in Page(files["index.html"].decode()).text
    assert "v1.1.0" in Page(files["m003/index.html"].decode()).text
    assert "m004" not in Page(files["m003/index.html"].decode()).text
    card = Page(files["m003/v1.1.0/card.html"].decode())
    assert card.all("a")[0]["href"] == "../index.html"


def test_of_many_models_those_with_an_alarm_come_first(many: Grown) -> None:
    store = Project(many.root).store
    (store / "m003" / "v1.1.0" / "card.md").write_text("other")
    git(many.root, "tag", "-a", "m002@deprecated", "m002@v1.1.0^{}", "-m", "Retire")
    found = site_of(many)
    page = Page(found.files["index.html"].decode())
    links = [link["href"] for link in page.all("a")][:5]
    models = ["m003", "m002", "m000", "m001", "m004"]
    assert links == [f"{name}/index.html" for name in models]
    assert found.summary.title.startswith(
        "1 release not to be used, 2 other things to look at"
    )
    assert found.summary.lines[0] == "m003@v1.1.0 is not to be used"
    assert "m002 is retired, and 1 more" in page.text


def test_the_models_of_one_owner_can_be_shown_without_a_script(many: Grown) -> None:
    text = site_of(many).files["index.html"].decode()
    labels = re.findall(r'id="owner-(\d)"> (@\w+)</label>', text)
    assert [owner for _, owner in labels] == ["@ana", "@ben", "@cleo", "@dan"]
    number = dict((owner, at) for at, owner in labels)["@ana"]
    rows_of_ana = re.findall(rf'<tr[^>]* data-owner="{number}">.*?>(m\d+)</a>', text)
    assert rows_of_ana == ["m000", "m004"]
    others = f'tr[data-owner]:not([data-owner="{number}"])'
    assert f"header:has(#owner-{number}:checked) {others}" in text
    assert "<script" not in text


def test_a_few_models_stay_on_one_page(
    many: Grown, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "_ON_ONE_PAGE", 5)
    files = site_of(many).files
    assert "m000/index.html" not in files and "m000/v1.1.0/card.html" in files
    page = Page(files["index.html"].decode())
    assert "#m003" in [link["href"] for link in page.all("a")]
