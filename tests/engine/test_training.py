"""Snapshot, split, training and the canonical model file."""

from __future__ import annotations

import copy
import io
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mlops.config.project import Project
from mlops.data.snapshot import Dataset, build
from mlops.errors import Refused, UsageError
from mlops.results.data import Snapshot
from mlops.settings import alike_kernels
from mlops.training import model_file
from mlops.training.model import Model

from .conftest import Trained, rows_of, spec_of, train_in

ENGINE = Path(__file__).parents[2] / "{{cookiecutter.project_slug}}"


def test_trained_model_reads_back_and_predicts_the_same(trained: Trained) -> None:
    again = Model.load(trained.project.build("churn"), "churn")
    rows = trained.dataset.part("test")
    pd.testing.assert_frame_equal(again.predict(rows), trained.model.predict(rows))
    assert set(again.predict(rows)["prediction"]) == {"no", "yes"}


@pytest.mark.parametrize("task", ["multiclass", "regression"])
def test_other_tasks(make_project: Callable[..., Project], task: str) -> None:
    done = train_in(make_project(task))
    out = done.model.predict(done.dataset.part("test"))
    if task == "multiclass":
        assert list(out) == ["prediction", "p_go", "p_maybe", "p_stay"]
        np.testing.assert_allclose(out.filter(like="p_").sum(axis=1), 1)
    else:
        assert out["prediction"].dtype == "float64"


def digest_trained(project: Project, **environment: str) -> str:
    """Return the digest of a model that another process trains."""
    code = (
        "from mlops.settings import prepare_process; prepare_process();"
        "from pathlib import Path; from mlops.config.project import Project;"
        "from mlops.data.snapshot import build; from mlops.training.fit import train;"
        f"p=Project(Path({str(project.root)!r})); s=p.model('churn');"
        "d,_=build(s,p.folder('churn')); print(train(p,'churn',s,d)[1].model_sha256)"
    )
    ours = ("OPENBLAS_CORETYPE", "NPY_DISABLE_CPU_FEATURES")
    env = {name: value for name, value in os.environ.items() if name not in ours}
    env["PYTHONPATH"] = str(ENGINE / "vendor/mlops/src")
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=env | environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("learner", ["logistic", "boosting"])
def test_same_bytes_in_other_processes_with_other_threads_and_processors(
    make_project: Callable[..., Project], learner: str
) -> None:
    """On a processor with AVX-512, numpy would compute other last bits by itself."""
    project = make_project(train={"params": {"learner": learner}})
    digests = {
        digest_trained(
            project,
            OMP_NUM_THREADS=threads,
            OPENBLAS_NUM_THREADS=threads,
            PYTHONHASHSEED=threads,
        )
        for threads in ("1", "2")
    }
    digests.add(
        digest_trained(
            project,
            OPENBLAS_CORETYPE="Haswell",
            NPY_DISABLE_CPU_FEATURES="X86_V4 AVX512_ICL AVX512_SPR",
        )
    )
    assert len(digests) == 1


def test_the_processor_does_not_choose_how_is_added() -> None:
    code = (
        "from mlops.settings import prepare_process; prepare_process();"
        "import numpy, scipy.linalg, threadpoolctl;"
        "from numpy._core._multiarray_umath import __cpu_features__ as has;"
        "print({i['architecture'] for i in threadpoolctl.threadpool_info()},"
        " [n for n in ('X86_V4', 'AVX512_ICL', 'AVX512_SPR') if has.get(n)])"
    )
    ours = ("OPENBLAS_CORETYPE", "NPY_DISABLE_CPU_FEATURES")
    env = {k: v for k, v in os.environ.items() if k not in ours}
    env["PYTHONPATH"] = str(ENGINE / "vendor/mlops/src")
    done = subprocess.run(
        [sys.executable, "-W", "error::ImportWarning", "-c", code],
        env=env,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    cpu = Path("/proc/cpuinfo")
    if cpu.is_file() and " avx2 " in cpu.read_text():
        assert done.stdout.strip() == "{'Haswell'} []", done.stderr


# Flags of processors, as Linux names them; those that decide nothing are left out.
ZEN_3 = "fpu sse2 avx fma avx2 bmi2"
CASCADE_LAKE = f"{ZEN_3} avx512f avx512cd avx512bw avx512dq avx512vl avx512_vnni"
ICE_LAKE = (
    f"{CASCADE_LAKE} avx512_vbmi2 avx512_bitalg avx512_vpopcntdq vaes gfni vpclmulqdq"
)
SAPPHIRE_RAPIDS = f"{ICE_LAKE} avx512_fp16 avx512_bf16"


@pytest.mark.parametrize(
    ("flags", "disabled"),
    [
        (ZEN_3, None),
        (CASCADE_LAKE, "X86_V4"),
        (ICE_LAKE, "X86_V4 AVX512_ICL"),
        (SAPPHIRE_RAPIDS, "X86_V4 AVX512_ICL AVX512_SPR"),
    ],
)
def test_numpy_is_told_only_of_what_the_processor_has(
    flags: str, disabled: str | None
) -> None:
    variables = alike_kernels(f"processor\t: 0\nflags\t\t: {flags}\nbugs\t: none\n")
    assert variables["OPENBLAS_CORETYPE"] == "Haswell"
    assert variables.get("NPY_DISABLE_CPU_FEATURES") == disabled


@pytest.mark.parametrize("cpuinfo", ["", "flags : avx\n", "processor: 0\nflags\t: fpu"])
def test_an_older_processor_is_left_as_it_is(cpuinfo: str) -> None:
    assert alike_kernels(cpuinfo) == {}


def test_a_changed_model_file_is_refused(trained: Trained) -> None:
    path = trained.project.build("churn") / "model.skops"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(Refused, match="not the one that training wrote"):
        Model.load(trained.project.build("churn"), "churn")


def test_a_foreign_type_is_refused_and_names_it() -> None:
    from sklearn.preprocessing import FunctionTransformer

    content = model_file.dump(FunctionTransformer(os.path.join))
    with pytest.raises(Refused, match=r"(posix|nt)path\.join"):
        model_file.load(content)


def test_a_compressed_archive_is_refused(trained: Trained, tmp_path: Path) -> None:
    path = tmp_path / "bomb.skops"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("schema.json", "{}" + " " * 10_000_000)
    with pytest.raises(Refused, match="compressed"):
        model_file.load(path.read_bytes())


def archive(members: dict[str, str | bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        for name, content in members.items():
            file.writestr(name, content)
    return out.getvalue()


def overlapping() -> bytes:
    """Return an archive whose thousand members are all the same megabyte."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        file.writestr("schema.json", "{}")
        file.writestr("00000.npy", b"0" * 1_000_000)
        first = file.filelist[-1]
        for number in range(1, 1000):
            twin = copy.copy(first)
            twin.filename = f"{number:05d}.npy"
            file.filelist.append(twin)
            file.NameToInfo[twin.filename] = twin
    return out.getvalue()


def encrypted() -> bytes:
    content = bytearray(archive({"schema.json": "{}"}))
    for sign, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(sign) + at] |= 1
    return bytes(content)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "BadZipFile"),
        (b"no archive", "BadZipFile"),
        (archive({"schema.json": "{}"})[:-30], "BadZipFile"),
        (archive({"other.json": "{}"}), "KeyError"),
        (archive({"schema.json": "[" * 200_000}), "RecursionError"),
        (archive({"schema.json": '{"a":' * 200_000}), "RecursionError"),
        (archive({"../schema.json": "{}"}), "not in place"),
        (archive({"/schema.json": "{}"}), "not in place"),
        (archive({"schema.json": "null"}), "AttributeError"),
        (overlapping(), "larger than the file"),
        (encrypted(), "RuntimeError"),
    ],
    ids=str.split(
        "empty other cut schema deep deeper up root null overlapping encrypted"
    ),
)
def test_a_hostile_archive_is_refused_with_one_error(content: bytes, why: str) -> None:
    with pytest.raises(Refused, match=f"not a model file of this engine: .*{why}"):
        model_file.load(content)


def test_where_two_models_differ_is_said_by_their_parts() -> None:
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    rng = np.random.default_rng(0)
    rows, target = rng.normal(size=(50, 3)), rng.integers(0, 2, 50)

    def model(last: Any = None, **params: Any) -> bytes:
        fitted = make_pipeline(StandardScaler(), last or LogisticRegression(**params))
        return model_file.dump(fitted.fit(rows, target))

    last = "model.steps.logisticregression[1]"
    assert model_file.differences(model(), model()) == (
        "the same parts, shared or written otherwise",
    )
    first, *others = model_file.differences(model(), model(C=1.5))
    assert first == f"{last}.C: 1.0 then, 1.5 now"
    assert others[0].startswith(f"{last}.coef_: 3 of 3 numbers differ, by ")
    several = model_file.differences(model(), model(Ridge()))
    assert len(several) == 6 and several[-1].endswith("parts more")
    assert any("LogisticRegression then, Ridge now" in line for line in several)
    (shape,) = (
        line
        for line in model_file.differences(
            model(), model_file.dump(StandardScaler().fit(rows))
        )
        if ".__class__" in line
    )
    assert shape == "model.__class__: Pipeline then, StandardScaler now"


def test_injected_duplicates_are_removed_and_counted(
    make_project: Callable[..., Project],
) -> None:
    rows = rows_of()
    project = make_project(frame=pd.concat([rows, rows.iloc[:7], rows.iloc[[3]]]))
    dataset, _ = build(project.model("churn"), project.folder("churn"))
    assert dataset is not None
    assert (dataset.snapshot.rows_read, dataset.snapshot.duplicates_removed) == (608, 8)
    clean = make_project(root=project.root.parent / "clean")
    other, _ = build(clean.model("churn"), clean.folder("churn"))
    assert other is not None
    assert other.snapshot.digest == dataset.snapshot.digest


def test_digest_is_of_content_not_of_the_file(
    make_project: Callable[..., Project],
) -> None:
    csv = make_project()
    parquet = make_project(
        root=csv.root.parent / "parquet",
        data={**spec_of()["data"], "source": "data/*.parquet"},
    )
    rows_of().to_parquet(parquet.folder("churn") / "data" / "rows.parquet")
    digests = [build(p.model("churn"), p.folder("churn"))[0] for p in (csv, parquet)]
    assert digests[0] is not None and digests[1] is not None
    assert digests[0].snapshot.digest == digests[1].snapshot.digest


def test_one_changed_value_changes_the_digest(
    make_project: Callable[..., Project],
) -> None:
    rows = rows_of()
    first = make_project(frame=rows)
    rows.loc[599, "spend"] = 1.25
    second = make_project(frame=rows, root=first.root.parent / "second")
    digests = {
        d.snapshot.digest
        for p in (first, second)
        if (d := build(p.model("churn"), p.folder("churn"))[0])
    }
    assert len(digests) == 2


def test_rows_keep_their_part_when_data_arrives(
    make_project: Callable[..., Project],
) -> None:
    project = make_project()
    before, _ = build(project.model("churn"), project.folder("churn"))
    rows_of(n=400, seed=5).to_csv(
        project.folder("churn") / "data" / "a-later.csv", index=False
    )
    after, _ = build(project.model("churn"), project.folder("churn"))
    assert before is not None and after is not None
    first = dict(zip(before.frame["customer"], before.test, strict=True))
    later = dict(zip(after.frame["customer"], after.test, strict=True))
    assert len(later) == 1000
    assert all(later[key] == part for key, part in first.items())
    assert 0.2 < after.test.mean() < 0.4


def test_groups_never_leak(make_project: Callable[..., Project]) -> None:
    rows = rows_of()
    rows["house"] = np.arange(600) // 4
    project = make_project(
        frame=rows, split={"by": "group", "column": "house", "test": 0.25}
    )
    dataset, _ = build(project.model("churn"), project.folder("churn"))
    assert dataset is not None
    houses = [set(dataset.part(part)["house"]) for part in ("train", "test")]  # type: ignore[arg-type]
    assert not houses[0] & houses[1] and all(houses)


def test_time_split_keeps_equal_times_together(
    make_project: Callable[..., Project],
) -> None:
    rows = rows_of()
    rows["year"] = 2000 + np.arange(600) // 60
    project = make_project(
        frame=rows,
        data={**spec_of()["data"], "time": "year"},
        split={"by": "time", "test": 0.25},
    )
    dataset, _ = build(project.model("churn"), project.folder("churn"))
    assert dataset is not None
    assert dataset.part("train")["year"].max() < dataset.part("test")["year"].min()
    assert dataset.snapshot.period == ("2000", "2009")


def test_rows_whose_label_is_late_take_no_place_in_the_test(
    make_project: Callable[..., Project],
) -> None:
    rows = rows_of(n=900).assign(day=np.arange(900))
    data = {**spec_of()["data"], "time": "day"}
    project = make_project(frame=rows, data=data, split={"by": "time", "test": 0.25})

    def snapshot(labelled: int) -> Snapshot:
        late = rows.assign(churn=rows["churn"].where(rows["day"] < labelled))
        late.to_csv(project.folder("churn") / "data" / "rows.csv", index=False)
        dataset, _ = build(project.model("churn"), project.folder("churn"))
        assert dataset is not None
        return dataset.snapshot

    for labelled, test in ((900, 225), (690, 172), (599, 150)):
        found = snapshot(labelled)
        assert (found.train_rows, found.test_rows) == (labelled - test, test)
    with pytest.raises(UsageError, match="no row has a target"):
        snapshot(0)
    rows["churn"] = np.where(rows["day"] == 2, "yes", "no")
    with pytest.raises(UsageError, match=r"split\.test") as caught:
        snapshot(4)
    assert "split.seed" not in str(caught.value)


def test_labels_that_arrive_later(make_project: Callable[..., Project]) -> None:
    rows = rows_of()
    project = make_project(
        frame=rows.drop(columns="churn"),
        data={**spec_of()["data"], "labels": "labels/*.csv"},
    )
    labels = project.folder("churn") / "labels"
    labels.mkdir()
    rows.loc[:499, ["customer", "churn"]].to_csv(labels / "a.csv", index=False)
    dataset, structure = build(project.model("churn"), project.folder("churn"))
    assert dataset is not None and all(e.ok for e in structure)
    assert dataset.snapshot.unlabelled == 100
    assert len(dataset.part("train")) + len(dataset.part("test")) == 500
    pd.DataFrame({"customer": ["c0-000001"], "churn": ["maybe"]}).to_csv(
        labels / "b.csv", index=False
    )
    with pytest.raises(UsageError, match="binary target has two values"):
        build(project.model("churn"), project.folder("churn"))


@pytest.mark.parametrize("values", [(0, 1), (False, True)], ids=["numbers", "booleans"])
def test_labels_are_joined_and_named_as_text_whatever_the_files_are(
    make_project: Callable[..., Project], values: tuple[object, object]
) -> None:
    churn = (
        rows_of()["churn"]
        .map(dict(zip(("no", "yes"), values, strict=True)))
        .astype("object")
    )
    rows = rows_of().assign(
        customer=np.arange(600), churn=churn.where(np.arange(600) < 450, None)
    )
    data = {
        "source": "data/*",
        "labels": "labels/*",
        "id": "customer",
        "target": "churn",
    }
    project = make_project(data={**data, "positive": values[1]})
    folder = project.folder("churn")
    (folder / "labels").mkdir()
    labels = rows[["customer", "churn"]]
    written = labels.assign(
        churn=labels["churn"].map(lambda v: str(v).lower(), "ignore")
    )
    found = set()
    for features_in, labels_in, known in (
        ("csv", "csv", written),
        ("csv", "parquet", labels),  # some are missing: read as floats, or as objects
        ("csv", "parquet", labels.head(450)),
        ("parquet", "csv", written),
        ("parquet", "parquet", labels),
    ):
        for path in [*folder.glob("data/*"), *folder.glob("labels/*")]:
            path.unlink()
        for name, frame in (
            (f"data/rows.{features_in}", rows.drop(columns="churn")),
            (f"labels/known.{labels_in}", known),
        ):
            (frame.to_csv if name.endswith("csv") else frame.to_parquet)(
                folder / name, index=False
            )
        dataset, structure = build(project.model("churn"), folder)
        assert dataset is not None and all(e.ok for e in structure)
        assert set(dataset.frame["churn"].dropna()) == {str(v).lower() for v in values}
        found.add((dataset.snapshot.digest, dataset.snapshot.unlabelled))
    assert len(found) == 1 and found.pop()[1] == 150


def test_a_saved_dataset_reads_back_and_a_changed_one_is_refused(
    trained: Trained,
) -> None:
    from mlops.errors import EnvironmentFailure

    folder = trained.project.build("churn")
    again = Dataset.load(folder, trained.spec)
    pd.testing.assert_frame_equal(again.frame, trained.dataset.frame)
    meta = json.loads((folder / "snapshot.json").read_text())
    meta["digest"] = "0" * 64
    (folder / "snapshot.json").write_text(json.dumps(meta))
    with pytest.raises(EnvironmentFailure, match="digest"):
        Dataset.load(folder, trained.spec)
    for corrupt in ("{}", '{"rows": "many"}', "half of"):
        (folder / "snapshot.json").write_text(corrupt)
        with pytest.raises(EnvironmentFailure, match=r"snapshot\.json") as refused:
            Dataset.load(folder, trained.spec)
        assert refused.value.problems[0].do


@pytest.mark.filterwarnings("ignore:overflow")
def test_a_sum_beyond_all_numbers_spoils_no_file(
    make_project: Callable[..., Project], tmp_path: Path
) -> None:
    project = make_project(frame=rows_of().assign(spend=1e308))
    dataset, _ = build(project.model("churn"), project.folder("churn"))
    assert dataset is not None
    dataset.save(tmp_path)
    (spend,) = (c for c in dataset.snapshot.columns if c.name == "spend")
    assert (spend.low, spend.mean, spend.high) == (1e308, 1e308, 1e308)
    assert Dataset.load(tmp_path, dataset.spec).snapshot == dataset.snapshot


def test_a_user_error_names_file_and_line(make_project: Callable[..., Project]) -> None:
    project = make_project()
    path = project.folder("churn") / "features.py"
    path.write_text("def features(raw):\n    return raw['nothing']\n")
    with pytest.raises(UsageError, match=r"features\.py: line 2: KeyError"):
        train_in(project)
    path.write_text("import socket\n\n\ndef features(raw):\n    return raw\n")
    with pytest.raises(UsageError, match="import is not allowed"):
        train_in(project)


def test_a_wrong_byte_far_down_is_named_as_one(
    make_project: Callable[..., Project],
) -> None:
    project = make_project()
    path = project.folder("churn") / "data" / "rows.csv"
    path.write_bytes(path.read_bytes() + "x,1,2,Müll,female,no\n".encode("cp1252"))
    with pytest.raises(UsageError, match="not utf-8") as caught:
        build(project.model("churn"), project.folder("churn"))
    assert "data.encoding" in str(caught.value)
