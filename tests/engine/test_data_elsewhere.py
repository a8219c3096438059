"""Data in a bucket or on a web server: read once, named in a lock, on bad days too."""

from __future__ import annotations

import gzip
import json
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner

from mlops import settings
from mlops.cli.doctor import data
from mlops.cli.main import app
from mlops.config.project import Project
from mlops.config.yaml import load_yaml
from mlops.data.elsewhere import OutOfReach, Store, matcher, opener
from mlops.data.fetch import ChangedMeanwhile, Fetching, fetch
from mlops.data.read import read_source
from mlops.data.snapshot import build
from mlops.data.web import WebSource
from mlops.errors import EnvironmentFailure, UsageError
from mlops.io.files import write_json
from mlops.results.data import SourceLock
from rehearsal.bucket import BucketServer

from .conftest import git, rows_of

NOW = datetime(2026, 12, 1, 3, 23, tzinfo=UTC)
LATER = datetime(2026, 12, 8, 3, 23, tzinfo=UTC)
PATTERNS = {"data.source": "s3://acme/churn/*.csv"}

Make = Callable[..., Project]


@pytest.fixture(name="bucket")
def bucket_fixture(monkeypatch: pytest.MonkeyPatch) -> Iterator[BucketServer]:
    """Serve a bucket, and let the environment name it."""
    server = BucketServer("acme")
    with server.running():
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("MLOPS_RETRY_SECONDS", "0.001")
        monkeypatch.setenv("MLOPS_HTTP_TIMEOUT", "1")
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        yield server


def how(now: datetime = NOW, **changes: Any) -> Fetching:
    return replace(Fetching(now, sleep=lambda seconds: None), **changes)


def csv(rows: pd.DataFrame) -> bytes:
    return rows.to_csv(index=False).encode()


def contents(root: Path) -> dict[str, bytes]:
    """Return what a lock names, by address."""
    lock = SourceLock.load(root)
    return {
        one.address: (root / "sources" / one.file).read_bytes() for one in lock.objects
    }


# -- what is read


def test_every_object_that_a_pattern_names_is_read_once(
    bucket: BucketServer, tmp_path: Path
) -> None:
    bucket.page = 2
    for month in range(1, 6):
        bucket.put("acme", f"churn/{month}.csv", f"a\n{month}\n".encode())
    bucket.put("acme", "churn/notes.txt", b"no data")
    bucket.put("acme", "churn/old/1.csv", b"a\n0\n")
    first = fetch(PATTERNS, tmp_path, how())
    assert [one.address for one in first.objects] == [
        f"s3://acme/churn/{month}.csv" for month in range(1, 6)
    ]
    assert contents(tmp_path)["s3://acme/churn/3.csv"] == b"a\n3\n"
    bucket.put("acme", "churn/6.csv", b"a\n6\n")
    bucket.requests.clear()
    second = fetch(PATTERNS, tmp_path, how(LATER))
    read_now = [path for method, path in bucket.requests if method == "GET"]
    assert [path for path in read_now if path != "acme/"] == ["acme/churn/6.csv"]
    assert second.objects[:5] == first.objects
    assert len(contents(tmp_path)) == 6


@pytest.mark.parametrize(
    ("pattern", "names", "others"),
    [
        ("a/*.csv", ["a/x.csv", "a/.csv"], ["a/b/x.csv", "a/x.csv.gz", "b/x.csv"]),
        ("a/**/x.csv", ["a/x.csv", "a/b/c/x.csv"], ["x.csv", "a/bx.csv"]),
        ("a/?[0-9].pq", ["a/x1.pq"], ["a/x.pq", "a/xx.pq", "a//1.pq"]),
        ("a/[!b].csv", ["a/c.csv"], ["a/b.csv"]),
        ("a/b+(c).csv", ["a/b+(c).csv"], ["a/bbc.csv"]),
    ],
)
def test_a_glob_names_keys_as_it_names_files(
    pattern: str, names: list[str], others: list[str]
) -> None:
    assert [name for name in names if not matcher(pattern).fullmatch(name)] == []
    assert [name for name in others if matcher(pattern).fullmatch(name)] == []


FORMS: dict[str, Callable[[pd.DataFrame, Path], None]] = {
    "rows.csv": lambda rows, path: path.write_bytes(csv(rows)),
    "rows.csv.gz": lambda rows, path: path.write_bytes(gzip.compress(csv(rows))),
    "rows.parquet": lambda rows, path: rows.to_parquet(path),
    "rows.jsonl": lambda rows, path: path.write_text(
        rows.to_json(orient="records", lines=True, double_precision=15)
    ),
}


@pytest.mark.parametrize("name", FORMS)
def test_a_source_in_a_bucket_is_the_same_data_as_in_a_folder(
    bucket: BucketServer, make_project: Make, tmp_path: Path, name: str
) -> None:
    rows = rows_of()
    local = make_project()
    there = Path(tmp_path, name)
    FORMS[name](rows, there)
    bucket.put("acme", f"churn/{name}", there.read_bytes())
    project = in_bucket(local, f"s3://acme/churn/{name}")
    fetch_for(project)
    dataset, _ = build(project.model("churn"), project.folder("churn"))
    assert dataset is not None
    expected = read_source(local.model("churn"), local.folder("churn")).frame
    assert len(dataset.frame) == len(expected)
    (file,) = dataset.snapshot.files
    assert file.path == f"s3://acme/churn/{name}"
    assert file.size == there.stat().st_size and file.version


def in_bucket(project: Project, address: str, **data: Any) -> Project:
    """Let the model of a project read from an address."""
    path = project.folder("churn") / "model.yaml"
    spec = load_yaml(path)
    spec["data"] |= {"source": address, **data}
    write_json(path, spec)  # JSON is YAML
    for file in (project.folder("churn") / "data").iterdir():
        file.unlink()
    return Project(project.root)


def fetch_for(project: Project) -> SourceLock:
    spec = project.model("churn")
    patterns = {"data.source": spec.data.source}
    if spec.data.labels:
        patterns["data.labels"] = spec.data.labels
    return fetch(patterns, project.build("churn"), how())


def test_two_reads_of_the_same_objects_give_the_same_digest(
    bucket: BucketServer, make_project: Make
) -> None:
    rows = rows_of()
    bucket.put("acme", "churn/1.csv", csv(rows[:300]))
    bucket.put("acme", "churn/2.csv", csv(rows[300:]))
    project = in_bucket(make_project(), "s3://acme/churn/*.csv")
    digests = set()
    for _ in range(2):
        fetch_for(project)
        dataset, _ = build(project.model("churn"), project.folder("churn"))
        assert dataset is not None
        digests.add(dataset.snapshot.digest)
    assert len(digests) == 1


def test_labels_come_from_a_bucket_too(
    bucket: BucketServer, make_project: Make
) -> None:
    rows = rows_of()
    bucket.put("acme", "rows.csv", csv(rows.drop(columns="churn")))
    bucket.put("acme", "labels.csv", csv(rows[["customer", "churn"]][:400]))
    project = in_bucket(
        make_project(), "s3://acme/rows.csv", labels="s3://acme/labels.csv"
    )
    lock = fetch_for(project)
    assert [one.key for one in lock.objects] == ["data.source", "data.labels"]
    dataset, _ = build(project.model("churn"), project.folder("churn"))
    assert dataset is not None
    assert dataset.snapshot.unlabelled == 200


def test_a_source_that_was_not_fetched_is_said_to_be(make_project: Make) -> None:
    project = in_bucket(make_project(), "s3://acme/churn/*.csv")
    with pytest.raises(UsageError, match="was not fetched") as raised:
        read_source(project.model("churn"), project.folder("churn"))
    assert "mlops data fetch churn" in str(raised.value)


def test_a_copy_that_was_changed_is_not_read(
    bucket: BucketServer, make_project: Make
) -> None:
    bucket.put("acme", "churn/1.csv", csv(rows_of()))
    project = in_bucket(make_project(), "s3://acme/churn/*.csv")
    lock = fetch_for(project)
    path = project.build("churn") / "sources" / lock.objects[0].file
    path.write_bytes(csv(rows_of(seed=1)))
    with pytest.raises(EnvironmentFailure, match="missing or corrupt"):
        read_source(project.model("churn"), project.folder("churn"))
    fetch_for(project)
    assert (
        len(read_source(project.model("churn"), project.folder("churn")).frame) == 600
    )


# -- bad days


def test_an_object_that_changes_while_it_is_read_is_read_again(
    bucket: BucketServer, tmp_path: Path
) -> None:
    bucket.put("acme", "churn/1.csv", b"a\n1\n")
    changes = iter([b"a\n2\n"])

    def change(method: str, key: str) -> None:
        if method == "GET" and key == "churn/1.csv":
            for content in changes:
                bucket.put("acme", key, content)
                return

    bucket.before = change
    lock = fetch(PATTERNS, tmp_path, how())
    assert contents(tmp_path) == {"s3://acme/churn/1.csv": b"a\n2\n"}
    assert lock.objects[0].version == bucket.put("acme", "churn/1.csv", b"a\n2\n")


def test_an_object_that_never_stands_still_is_not_read(
    bucket: BucketServer, tmp_path: Path
) -> None:
    bucket.put("acme", "churn/1.csv", b"a\n0\n")
    written: list[int] = []

    def change(method: str, key: str) -> None:
        if method == "GET" and key:
            written.append(1)
            bucket.put("acme", key, f"a\n{len(written)}\n".encode())

    bucket.before = change
    with pytest.raises(ChangedMeanwhile, match=r"s3://acme/churn/1\.csv"):
        fetch(PATTERNS, tmp_path, how())
    assert not (tmp_path / SourceLock.FILE).exists()


def down(bucket: BucketServer) -> None:
    bucket.down = True


def slow(bucket: BucketServer) -> None:
    bucket.seconds = 5


def half(bucket: BucketServer) -> None:
    bucket.half = True
    bucket.put("acme", "churn/1.csv", b"a\n" + b"2\n" * 1000)


@pytest.mark.parametrize("fault", [down, slow, half], ids=lambda f: f.__name__)
def test_where_a_bucket_is_away_what_was_last_read_serves_and_that_is_shown(
    bucket: BucketServer, tmp_path: Path, fault: Callable[[BucketServer], None]
) -> None:
    bucket.put("acme", "churn/1.csv", b"a\n1\n")
    before = fetch(PATTERNS, tmp_path, how())
    fault(bucket)
    lines: list[str] = []
    after = fetch(PATTERNS, tmp_path, how(LATER, say=lines.append))
    assert after.objects == before.objects
    assert "2026-12-01T03:23:00+00:00" in after.note and after.note in lines[-1]
    assert contents(tmp_path) == {"s3://acme/churn/1.csv": b"a\n1\n"}
    bucket.down = bucket.half = False
    bucket.seconds = 0
    assert fetch(PATTERNS, tmp_path, how(LATER)).note == ""


@pytest.mark.parametrize("fault", [down, half], ids=lambda f: f.__name__)
def test_where_nothing_was_read_before_a_bucket_that_is_away_is_an_error(
    bucket: BucketServer, tmp_path: Path, fault: Callable[[BucketServer], None]
) -> None:
    bucket.put("acme", "churn/1.csv", b"a\n1\n")
    fault(bucket)
    with pytest.raises(OutOfReach, match="s3://acme/churn"):
        fetch(PATTERNS, tmp_path, how())
    assert not (tmp_path / SourceLock.FILE).exists()
    left = list(tmp_path.rglob("*.part"))
    assert left == []


def test_who_is_refused_is_told_so_and_nothing_older_serves(
    bucket: BucketServer, tmp_path: Path
) -> None:
    bucket.put("acme", "churn/1.csv", b"a\n1\n")
    fetch(PATTERNS, tmp_path, how())
    bucket.forbidden = True
    with pytest.raises(EnvironmentFailure, match="refuses") as raised:
        fetch(PATTERNS, tmp_path, how(LATER))
    assert not isinstance(raised.value, OutOfReach)
    assert bucket.secret not in str(raised.value)
    assert bucket.key not in str(raised.value)


def test_an_absent_bucket_is_named(bucket: BucketServer, tmp_path: Path) -> None:
    patterns = {"data.source": "s3://nobody/churn/*.csv"}
    with pytest.raises(UsageError, match="no object matches") as raised:
        fetch(patterns, tmp_path, how())
    assert "s3://nobody/churn/*.csv" in str(raised.value)


@pytest.mark.parametrize("content", [None, b""], ids=["no object", "an empty one"])
def test_nothing_is_no_data(
    bucket: BucketServer, tmp_path: Path, content: bytes | None
) -> None:
    if content is not None:
        bucket.put("acme", "churn/1.csv", content)
    with pytest.raises(UsageError, match=r"no object matches|is empty") as raised:
        fetch(PATTERNS, tmp_path, how())
    assert "data.source" in str(raised.value)


def test_objects_that_are_gone_are_gone_from_the_copies(
    bucket: BucketServer, tmp_path: Path
) -> None:
    bucket.put("acme", "churn/1.csv", b"a\n1\n")
    bucket.put("acme", "churn/2.csv", b"a\n2\n")
    fetch(PATTERNS, tmp_path, how())
    del bucket.objects["acme", "churn/1.csv"]
    fetch(PATTERNS, tmp_path, how(LATER))
    assert len(list((tmp_path / "sources").iterdir())) == 1
    assert contents(tmp_path) == {"s3://acme/churn/2.csv": b"a\n2\n"}


def test_long_reading_says_how_far_it_is(bucket: BucketServer, tmp_path: Path) -> None:
    bucket.put("acme", "churn/1.csv", b"a\n1\n" * 500_000)
    seconds = iter(range(0, 1000, 3))
    lines: list[str] = []
    fetch(PATTERNS, tmp_path, how(say=lines.append, clock=lambda: next(seconds)))
    assert lines[0] == "2.0 MB of 2.0 MB …"
    assert lines[-1].startswith("read 1 object, 2.0 MB, in ")


# -- rows that are late, corrected, twice, or of another schema


def snapshot_of(project: Project) -> Any:
    fetch_for(project)
    dataset, structure = build(project.model("churn"), project.folder("churn"))
    return dataset, structure


def test_late_corrected_and_repeated_rows_are_what_they_are(
    bucket: BucketServer, make_project: Make
) -> None:
    rows = rows_of()
    bucket.put("acme", "churn/1.csv", csv(rows[:400]))
    bucket.put("acme", "churn/2.csv", csv(rows[300:500]))  # 100 rows again
    project = in_bucket(make_project(), "s3://acme/churn/*.csv")
    first, _ = snapshot_of(project)
    assert first.snapshot.rows == 500 and first.snapshot.duplicates_removed == 100
    bucket.put("acme", "churn/0-late.csv", csv(rows[500:]))
    late, _ = snapshot_of(project)
    assert late.snapshot.rows == 600
    corrected = rows[:400].assign(tenure=1)
    bucket.put("acme", "churn/1.csv", csv(corrected))
    new, _ = snapshot_of(project)
    assert new.snapshot.digest != late.snapshot.digest
    assert (new.frame["tenure"] == 1).sum() >= 300


def test_a_file_whose_schema_changed_is_stopped_by_its_columns(
    bucket: BucketServer, make_project: Make
) -> None:
    rows = rows_of()
    bucket.put("acme", "churn/1.csv", csv(rows[:400]))
    renamed = rows[400:].rename(columns={"tenure": "months"})
    bucket.put("acme", "churn/2.csv", csv(renamed))
    project = in_bucket(make_project(), "s3://acme/churn/*.csv")
    dataset, structure = snapshot_of(project)
    assert dataset is None
    assert not structure[0].ok and "`tenure` is missing" in structure[0].message


# -- a web server


class Site:
    """A web server on loopback."""

    def __init__(self) -> None:
        self.status = 200
        self.content = b"a\n1\n"
        self.headers = {"ETag": '"one"'}
        self.redirects: dict[str, str] = {}
        self.broken = False
        self.url = ""

    def source(self, path: str = "/rows.csv?sig=SECRET") -> WebSource:
        return WebSource(f"{self.url}{path}", schemes=("http", "https"))


@pytest.fixture(name="site")
def site_fixture(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """Serve one file, and let no proxy stand before it."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("MLOPS_HTTP_TIMEOUT", "1")
    site = Site()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            target = site.redirects.get(path)
            self.send_response(302 if target else site.status)
            if target:
                self.send_header("Location", target)
            for name, value in site.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(site.content)))
            self.end_headers()
            content = site.content
            self.wfile.write(content[: len(content) // 2] if site.broken else content)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    site.url = f"http://127.0.0.1:{server.server_address[1]}"
    yield site
    server.shutdown()
    server.server_close()


def of_site(site: Site, path: str = "/rows.csv?sig=SECRET") -> Callable[[str], Store]:
    return lambda address: site.source(path)


WEB = {"data.source": "https://host/rows.csv?sig=SECRET"}


def test_a_file_on_a_web_server_is_read_and_named_without_its_query(
    site: Site, tmp_path: Path
) -> None:
    lock = fetch(WEB, tmp_path, how(open_store=of_site(site)))
    (one,) = lock.objects
    assert one.address == f"{site.url}/rows.csv"
    assert (one.size, one.version) == (4, "one")
    assert contents(tmp_path) == {one.address: b"a\n1\n"}
    assert "SECRET" not in (tmp_path / SourceLock.FILE).read_text()


@pytest.mark.parametrize(
    ("headers", "version"),
    [
        ({"ETag": 'W/"weak"', "Last-Modified": "then"}, "then"),
        ({"Last-Modified": "then"}, "then"),
        ({}, ""),
    ],
    ids=["a weak ETag", "a time", "nothing"],
)
def test_what_changes_with_the_content_is_the_version(
    site: Site, headers: dict[str, str], version: str
) -> None:
    site.headers = headers
    assert site.source().look()[0].version == version


def test_without_a_version_a_file_is_read_each_time(site: Site, tmp_path: Path) -> None:
    site.headers = {}
    fetch(WEB, tmp_path, how(open_store=of_site(site)))
    site.content = b"a\n2\n"
    fetch(WEB, tmp_path, how(open_store=of_site(site)))
    assert list(contents(tmp_path).values()) == [b"a\n2\n"]


def test_redirects_are_followed_and_never_to_another_kind(
    site: Site, tmp_path: Path
) -> None:
    site.redirects = {"/a.csv": "/b.csv"}
    fetch(WEB, tmp_path, how(open_store=of_site(site, "/a.csv")))
    assert list(contents(tmp_path).values()) == [b"a\n1\n"]
    site.redirects["/b.csv"] = "ftp://host/x?sig=SECRET"
    with pytest.raises(EnvironmentFailure, match="another kind") as raised:
        site.source("/a.csv").look()
    assert "SECRET" not in str(raised.value)
    site.redirects["/b.csv"] = "/a.csv"
    with pytest.raises(EnvironmentFailure, match="without end"):
        site.source("/a.csv").look()
    plain = WebSource("https://host/x.csv")
    assert plain._schemes == ("https",)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (204, EnvironmentFailure),
        (401, EnvironmentFailure),
        (403, EnvironmentFailure),
        (404, EnvironmentFailure),
        (429, OutOfReach),
        (500, OutOfReach),
        (503, OutOfReach),
    ],
)
def test_an_answer_that_is_no_file_is_an_error_that_names_it(
    site: Site, tmp_path: Path, status: int, kind: type[EnvironmentFailure]
) -> None:
    site.status = status
    with pytest.raises(EnvironmentFailure) as raised:
        fetch(WEB, tmp_path, how(open_store=of_site(site)))
    assert type(raised.value) is kind
    assert str(status) in str(raised.value) and "SECRET" not in str(raised.value)


def test_half_a_file_is_never_taken_for_one(site: Site, tmp_path: Path) -> None:
    site.content = b"a\n" + b"1\n" * 1000
    site.broken = True
    with pytest.raises(OutOfReach) as raised:
        fetch(WEB, tmp_path, how(open_store=of_site(site)))
    assert "SECRET" not in str(raised.value)
    assert not list((tmp_path / "sources").iterdir())


def test_a_server_that_is_not_there_is_out_of_reach(monkeypatch: Any) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    source = WebSource("http://127.0.0.1:9/rows.csv?sig=SECRET", schemes=("http",))
    with pytest.raises(OutOfReach) as raised:
        source.look()
    assert "SECRET" not in str(raised.value)


def test_an_address_opens_its_kind_of_store() -> None:
    assert type(opener("s3://acme/x.csv")).__name__ == "BucketSource"
    assert type(opener("https://host/x.csv")).__name__ == "WebSource"


# -- what an address may be


@pytest.mark.parametrize(
    "source",
    [
        "http://host/x.csv",
        "gs://acme/x.csv",
        "file:///etc/passwd",
        "s3://acme",
        "s3://acme/",
        "s3://acme/folder/",
        "s3://Acme/x.csv",
        "s3://acme/x.csv?versionId=1",
        "s3://KEY:PASSWORD@acme/x.csv",
        "https://user:PASSWORD@host/x.csv",
        "https://host/*.csv",
        "https://host/x.csv#part",
        "https://[half/x.csv",
        "https://host",
    ],
)
def test_an_address_that_cannot_be_read_is_refused_without_its_secrets(
    make_project: Make, source: str
) -> None:
    project = in_bucket(make_project(), f"{source}")
    with pytest.raises(UsageError) as raised:
        project.model("churn")
    assert [problem.key for problem in raised.value.problems] == ["data.source"]
    assert "PASSWORD" not in str(raised.value)


@pytest.mark.parametrize(
    "source",
    ["s3://acme/a b/x.csv", "s3://acme/churn/**/*.parquet", "https://host/x.csv?f=1"],
)
def test_an_address_that_can_be_read_is_taken_as_it_is(
    make_project: Make, source: str
) -> None:
    assert in_bucket(make_project(), source).model("churn").data.source == source


# -- the commands


@pytest.fixture(name="remote")
def remote_fixture(
    bucket: BucketServer, make_project: Make, monkeypatch: pytest.MonkeyPatch
) -> Project:
    bucket.put("acme", "churn/1.csv", csv(rows_of()))
    project = in_bucket(make_project(), "s3://acme/churn/*.csv")
    monkeypatch.chdir(project.root)
    return project


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, list(arguments))


def test_a_run_reads_the_bucket_and_reads_nothing_new_twice(
    remote: Project, bucket: BucketServer
) -> None:
    first = run("train", "churn")
    assert first.exit_code == 0, first.output
    second = run("train", "churn")
    assert "train     unchanged" in second.output
    bucket.put("acme", "churn/2.csv", csv(rows_of(seed=1)))
    third = run("train", "churn")
    assert "train     done" in third.output


def test_a_locked_run_reads_what_was_fetched_and_nothing_newer(
    remote: Project, bucket: BucketServer
) -> None:
    before = run("run", "churn", "--locked")
    assert before.exit_code == 2 and "was not fetched" in before.output
    fetched = run("data", "fetch", "--json")
    assert fetched.exit_code == 0, fetched.output
    assert json.loads(fetched.stdout)["models"] == ["churn"]
    bucket.put("acme", "churn/2.csv", csv(rows_of(seed=1)))
    bucket.down = True
    done = run("run", "churn", "--locked", "--json")
    assert json.loads(done.stdout)["churn"]["validate"]["snapshot"]["rows"] == 600


def second(project: Project, name: str, source: str) -> None:
    """Add a model like the first one, with a source of its own."""
    folder = project.folder("churn").with_name(name)
    shutil.copytree(project.folder("churn"), folder)
    file = folder / "model.yaml"
    text = file.read_text()
    assert "s3://acme/churn/*.csv" in text
    file.write_text(text.replace("s3://acme/churn/*.csv", source))


def test_data_that_cannot_be_read_hold_up_no_other_model(
    remote: Project, bucket: BucketServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    second(remote, "absent", "s3://acme/absent/*.csv")
    second(remote, "other", "https://127.0.0.1:1/rows.csv")
    output = remote.root / "output"
    monkeypatch.setenv("GITHUB_OUTPUT", str(output))
    done = run("data", "fetch", "--models", '["absent", "churn", "other"]', "--json")

    assert done.exit_code == 3, done.output  # the worst: nobody is at that address
    facts = json.loads(done.stdout)
    assert list(facts["sources"]) == ["churn"]
    codes = {name: error["exit_code"] for name, error in facts["failed"].items()}
    assert codes == {"absent": 2, "other": 3}
    told_why = run("data", "fetch")
    assert told_why.exit_code == 3
    assert "absent: not read: data.source: no object matches" in told_why.output
    lines = output.read_text().splitlines()
    assert 'models=["absent", "churn", "other"]' in lines and "read=true" in lines
    # Another job takes what begins with `sources`, and its runs say why.
    assert run("run", "churn", "--locked").exit_code in (0, 1)
    refused = run("run", "absent", "--locked")
    assert refused.exit_code == 2
    assert "s3://acme/absent/*.csv" in refused.output
    assert run("run", "other", "--locked").exit_code == 3

    bucket.put("acme", "absent/1.csv", csv(rows_of(seed=1)))
    assert run("data", "fetch", "absent").exit_code == 0
    assert run("run", "absent", "--locked").exit_code in (0, 1)


def test_where_nothing_can_be_read_there_is_no_result_and_runs_say_why(
    remote: Project, bucket: BucketServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.down = True
    output = remote.root / "output"
    monkeypatch.setenv("GITHUB_OUTPUT", str(output))
    done = run("data", "fetch", "--json")
    assert done.exit_code == 3
    assert list(json.loads(done.stdout)) == ["error", "exit_code"]
    assert "read=true" in output.read_text().splitlines()
    told = run("run", "churn", "--locked")
    assert told.exit_code == 3
    assert "was not fetched" not in told.output


def test_a_note_of_a_failure_is_data_of_another_job(remote: Project) -> None:
    path = remote.build("churn") / "sources-failed.json"
    write_json(path, {"problems": [{"what": "x" * 5000, "evil": 1}], "exit_code": "a"})
    told = run("run", "churn", "--locked")
    assert told.exit_code == 1
    assert "the data of this model could not be fetched" in told.output


def test_a_run_without_its_bucket_says_of_when_its_rows_are(
    remote: Project, bucket: BucketServer
) -> None:
    assert run("validate", "churn").exit_code == 0
    bucket.down = True
    done = run("validate", "churn")
    assert done.exit_code == 0, done.output
    assert "could not be reached: these are the rows that were read at" in done.output
    lines = load_yaml(remote.build("churn") / "validation.json")["expectations"]
    assert any("could not be reached" in line["message"] for line in lines)


def test_models_with_data_in_git_fetch_nothing(
    make_project: Make, monkeypatch: pytest.MonkeyPatch, bucket: BucketServer
) -> None:
    project = make_project()
    monkeypatch.chdir(project.root)
    done = run("data", "fetch")
    assert done.exit_code == 0 and done.stdout == "No model has data elsewhere.\n"
    assert bucket.requests == []


@pytest.mark.parametrize("public", [True, False])
def test_rows_leave_a_public_repository_only_where_that_is_allowed(
    remote: Project, monkeypatch: pytest.MonkeyPatch, public: bool
) -> None:
    event = remote.root / "event.json"
    write_json(event, {"repository": {"private": False}})
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_EVENT_PATH", str(event))
    if public:
        file = remote.root / "project.yaml"
        file.write_text(f"{file.read_text()}\ndata: {{public: true}}\n")
    done = run("data", "fetch", "churn")
    assert done.exit_code == (0 if public else 1), done.output
    assert ("data.public" in done.output) is not public
    assert (remote.build("churn") / "sources").exists() is public


PUBLIC = "\ndata: {public: true}\n"


@pytest.mark.parametrize(("own", "of_base"), [(True, False), (False, True)])
def test_a_pull_request_cannot_allow_its_own_rows_to_be_published(
    remote: Project,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    own: bool,
    of_base: bool,
) -> None:
    event = remote.root / "event.json"
    write_json(event, {"repository": {"private": False}})
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_EVENT_PATH", str(event))
    file = remote.root / "project.yaml"
    plain = file.read_text()
    base = tmp_path / "base"
    base.mkdir()
    (base / "project.yaml").write_text(plain + PUBLIC * of_base)
    file.write_text(plain + PUBLIC * own)
    done = run("data", "fetch", "churn", "--base", "../base")
    assert done.exit_code == (0 if of_base else 1), done.output
    assert ("data.public" in done.output) is not of_base
    assert (remote.build("churn") / "sources").exists() is of_base


def test_the_process_of_user_code_gets_no_credentials(bucket: BucketServer) -> None:
    given = settings.read().user_code_environment()
    assert not [name for name in given if name.startswith("AWS_")]


def test_a_lock_without_copies_still_says_what_is_due(
    remote: Project, bucket: BucketServer
) -> None:
    """The job that registers has the lock, and not the rows."""
    from mlops.pipeline.due import inputs_now

    assert run("data", "fetch").exit_code == 0
    before = inputs_now(remote, "churn")
    for path in (remote.build("churn") / "sources").iterdir():
        path.unlink()
    assert inputs_now(remote, "churn") == before
    ((name, digest),) = before.files
    assert name == "s3://acme/churn/1.csv" and len(digest) == 64


def test_a_schedule_leaves_out_what_has_nothing_new(
    remote: Project, bucket: BucketServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The gate has refused what is in the bucket; then a month is added."""
    git(remote.root, "add", "-A")
    git(remote.root, "commit", "-qm", "Data in a bucket")
    assert run("run", "churn").exit_code in (0, 1)
    record = load_yaml(remote.build("churn") / "record.json")
    from mlops.results.runs import Record
    from mlops.runlog.journal import append

    refused = {**record, "id": "20261201-032300-abcdef", "outcome": "reject"}
    append(remote, Record.model_validate({**refused, "dirty": False}))
    event = remote.root / "event.json"
    write_json(event, {"schedule": "23 3 * * 1"})
    out = remote.root / "output"
    monkeypatch.setenv("GITHUB_EVENT_PATH", str(event))
    monkeypatch.setenv("GITHUB_OUTPUT", str(out))
    done = run("data", "fetch", "--models", '["churn"]')
    assert done.exit_code == 0, done.output
    assert "churn: nothing new" in done.output
    lines = out.read_text().splitlines()
    assert "models=[]" in lines and "jobs=[]" in lines
    bucket.put("acme", "churn/2.csv", csv(rows_of(seed=1)))
    out.unlink()
    assert run("data", "fetch", "--models", '["churn"]').exit_code == 0
    lines = out.read_text().splitlines()
    assert 'models=["churn"]' in lines and 'members={"churn": ["churn"]}' in lines


def test_a_plan_says_whose_data_lie_elsewhere(remote: Project) -> None:
    done = run("plan", "--json")
    assert json.loads(done.stdout)["data"] == ["churn"]


def test_an_empty_plan_fetches_nothing(remote: Project, bucket: BucketServer) -> None:
    bucket.requests.clear()
    assert run("data", "fetch", "--models", "[]").exit_code == 0
    assert bucket.requests == []


def test_doctor_says_where_large_data_go(
    make_project: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = make_project()
    monkeypatch.setattr("mlops.data.sources.MOST_IN_GIT", 5000)
    assert data(project).startswith("models/churn/data/rows.csv: put it into a bucket")
    monkeypatch.setattr("mlops.data.sources.MOST_IN_GIT", 10**6)
    assert data(project) == ""
