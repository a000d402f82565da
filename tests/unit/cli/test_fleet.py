"""`submit --matrix`: the rows of the file, what is refused before anything is sent, and the one exit code."""

import itertools
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from local.paths import ROOT
from shared.cli import fleet, matrix
from shared.cli.__main__ import main
from shared.cli.render.output import LineOutput, standard_output
from shared.domain.errors import (
    ConflictError,
    ForbiddenError,
    InvalidInputError,
    NotFoundError,
    Problems,
    StorageUnavailableError,
)
from shared.domain.forgotten import ForgottenError
from shared.domain.json import content_hash
from shared.domain.records import DeploymentRecord, RecordedError
from shared.domain.states import DeploymentState as D
from shared.repository import scan
from tests.command_line import run
from tests.fakes import START, MemoryBlobs
from tests.unit.cli.sample_records import header

GUID = "0f3f6f0e-52a4-4a35-9d4e-7f2f4f6a1c01"


def file(folder: Path, text: str) -> str:
    """Write a CSV file."""
    path = folder / "w.csv"
    path.write_text(text)
    return str(path)


def rows_of(path: str) -> list[matrix.Row]:
    """Return the rows of a file. Raises InvalidInputError."""
    problems = Problems()
    found = matrix.read_rows(path, "b", problems)
    if problems:
        raise InvalidInputError(problems)
    return found


def test_fleet_rows_are_values_of_inputs(tmp_path: Path) -> None:
    """An empty cell gives no value, an empty line is skipped, and a cell may contain commas and lines of its own."""
    text = 'id,name,size\nnorth,North,3\n\nsouth,"South, all",\n'
    found = rows_of(file(tmp_path, text))
    assert [(row.deployment_id, row.values) for row in found] == [
        ("b-north", {"name": "North", "size": "3"}),
        ("b-south", {"name": "South, all"}),
    ]
    assert found[1].place.endswith("w.csv:4")
    found = rows_of(file(tmp_path, "name\na\nb\n"))
    assert [row.deployment_id for row in found] == ["b-001", "b-002"]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_fleet_reads_what_spreadsheets_write(tmp_path: Path, separator: str) -> None:
    """The file may have a byte order mark, a country's separator, empty lines at its start, and a line break in a
    cell."""
    text = "\ufeff\r\n\r\nid,name,size\r\nnorth,a\u2028b,\r\n,,\r\nsouth,b,3\r\n".replace(",", separator)
    found = rows_of(file(tmp_path, text))
    assert [(row.deployment_id, row.values, row.place[-1]) for row in found] == [
        ("b-north", {"name": "a\u2028b"}, "4"),
        ("b-south", {"name": "b", "size": "3"}, "6"),
    ]


@pytest.mark.parametrize("line", ["sep=;", '"sep=;"', "SEP=; ", "\r\nsep=;"])
def test_fleet_line_of_excel_names_the_separator(tmp_path: Path, line: str) -> None:
    """The header is the line below it, although a comma is in it."""
    found = rows_of(file(tmp_path, f"{line}\r\nname;size\r\na,b;3\r\n"))
    assert [row.values for row in found] == [{"name": "a,b", "size": "3"}]


@pytest.mark.parametrize("unseen", ["\u200b", "\u00a0", "\ufeff", "\u202a"])
def test_fleet_characters_that_nobody_sees_are_not_part_of_a_name_or_value(tmp_path: Path, unseen: str) -> None:
    """They are often copied together with it, and would be part of a workspace's name."""
    found = rows_of(file(tmp_path, f"id,name{unseen}\n{unseen}one,a{unseen}\n{unseen},{unseen}\n"))
    assert [(row.deployment_id, row.values) for row in found] == [("b-one", {"name": "a"})]


def manifest_of_one_input(folder: Path) -> Path:
    """Write a manifest whose rows give one input, and return its path."""
    path = folder / "m.yaml"
    path.write_text("name: m\ninputs: {a: {}}\nsteps: [{id: w, kind: workspace, with: {displayName: w}}]\n")
    return path


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ('name\na\n"b\n', "w.csv:3", "the quotation mark that opens a cell here has no counterpart"),
        ('name\n"b"c\n', "w.csv:2", "text follows a closing quotation mark"),
        ("", "w.csv", "is empty"),
        ("name\n", "w.csv", "has 0 rows"),
        ("name,name\na,b\n", "w.csv:1", "has the column 'name' more than once"),
        ("name,\na,b\n", "w.csv:1", "a column without a name"),
        ("name\na,b\n", "w.csv:2", "has 2 cells; the first row has 1"),
        ("id,name\na b,x\n", "w.csv:2", "must be letters, digits"),
        ("id,name\na,x\nA,y\n", "w.csv:3", "is that of"),
        ('name\n"a\n', "w.csv:2", "is not CSV"),
        ("name\n" + "a\n" * 1001, "w.csv", "has 1001 rows"),
        ('name,size\n"a\n\nb",1\nc\n', "w.csv:5", "has 1 cells"),
    ],
)
def test_fleet_wrong_file_is_named(tmp_path: Path, text: str, place: str, message: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        rows_of(file(tmp_path, text))
    assert caught.value.problems[0].path.endswith(place)
    assert message in caught.value.problems[0].message


def test_fleet_reports_the_problems_of_all_rows_and_sends_nothing(tmp_path: Path) -> None:
    """Storage is not even asked: the account does not exist."""
    manifest = tmp_path / "m.yaml"
    manifest.write_text(
        "name: m\ninputs: {place: {}, size: {type: number, default: 1}}\n"
        "steps: [{id: w, kind: workspace, with: {displayName: '${{ inputs.place }}'}}]\n"
    )
    matrix = file(tmp_path, "place,size,colour\na,1,\n,2,\nb,many,\nc,1,red\nd,1\n")
    done = run("submit", str(manifest), "--matrix", matrix, "--id", "x" * 60, environment={})
    assert (done.returncode, "59 at most" in done.stdout) == (2, True)
    done = run("submit", str(manifest), "--matrix", matrix, environment={})
    assert done.returncode == 2
    for text in (
        "w.csv:3 ",
        "needs a value",
        "w.csv:4 ",
        "must be a number",
        "w.csv:5 ",
        "is not an input",
        "w.csv:6: has 2 cells",
    ):
        assert text in done.stdout, done.stdout
    assert "w.csv:2 " not in done.stdout


def test_fleet_exit_code_is_the_one_that_asks_most_of_a_person() -> None:
    """A single code counts for itself; 2 is never the code after something was sent."""
    assert [fleet.exit_code({code}) for code in (0, 1, 2, 3, 8, 9)] == [0, 1, 2, 3, 8, 9]
    assert fleet.exit_code({0, 8}) == 8
    assert fleet.exit_code({0, 8, 1}) == 1
    assert fleet.exit_code({0, 1, 9}) == 9
    assert fleet.exit_code({0, 1, 9, 3}) == 3
    for pair in itertools.combinations((0, 1, 2, 3, 4, 8, 9), 2):
        assert fleet.exit_code(set(pair)) not in (0, 2)


class Storage:
    """A journal whose deployments advance with each read."""

    def __init__(self, *stages: dict[str, DeploymentRecord]) -> None:
        self.journal, self._stages, self._last = self, list(stages), dict[str, DeploymentRecord]()

    def page(self, limit: int, *, labels: Any) -> list[DeploymentRecord]:
        assert labels == {"matrix": "b"}
        self._last = self._stages.pop(0) if self._stages else self._last
        return [row for row in self._last.values() if row.labels]

    def header(self, deployment_id: str) -> Any:
        if deployment_id not in self._last:
            raise NotFoundError(deployment_id)
        return type("V", (), {"record": self._last[deployment_id]})()


def test_fleet_is_followed_to_the_end_of_all(capsys: pytest.CaptureFixture[str]) -> None:
    """One table shows all, in the order of the rows; an id that belongs to another manifest is a conflict."""

    def of(name: str, state: D, digest: str = "", **changes: Any) -> DeploymentRecord:
        changes = {"labels": {"matrix": "b"}, **changes}
        return header(state, deployment_id=name, manifest_hash=digest or made[name].hash, **changes)

    made = {
        name: fleet.Ready(matrix.Row(f"w.csv:{i}", name, {}), {"n": i}) for i, name in enumerate(("b-1", "b-2", "b-3"))
    }
    first = {"b-1": of("b-1", D.RUNNING)}
    last = {
        "b-1": of("b-1", D.SUCCEEDED),
        "b-2": of("b-2", D.COMPENSATED),
        "b-3": of("b-3", D.SUCCEEDED, "other", labels=None),
    }
    waits: list[float] = []
    following = fleet.Fleet(list(made.values()), "b", LineOutput(standard_output()), None)
    assert following.follow(Storage(first, last), waits.append) == 1  # type: ignore[arg-type] - the journal alone
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "3 deployments: 1 running, 2 submitted"
    assert [line.split()[:2] for line in lines[-3:]] == [
        ["b-1", "succeeded"],
        ["b-2", "compensated"],
        ["b-3", "conflict"],
    ]
    assert waits == [fleet.POLL_SECONDS]
    following = fleet.Fleet([made["b-1"]], "b", LineOutput(standard_output()), -1.0)
    assert following.follow(Storage(first), waits.append) == 9  # type: ignore[arg-type] - the journal alone


def test_watching_a_large_fleet_does_not_keep_the_journal_busy() -> None:
    """Each read of the list reads the header of each deployment that has not ended."""
    assert [fleet.pause(open_ones) for open_ones in (0, 1, 100, 500, 1000, 5000)] == [2.0, 2.0, 2.0, 10.0, 20.0, 20.0]


def test_fleet_follows_what_is_past_its_retention(capsys: pytest.CaptureFixture[str]) -> None:
    """The same command again, much later, ends at once with what remains of the headers."""
    row = fleet.Ready(matrix.Row("w.csv:2", "b-1", {}), {"n": 1})
    end = header(D.COMPENSATED, deployment_id="b-1", manifest_hash=row.hash, forgotten_at=START)

    class Forgotten(Storage):
        def header(self, deployment_id: str) -> Any:
            raise ForgottenError(end)

    following = fleet.Fleet([row], "b", LineOutput(standard_output()), None)
    assert following.follow(Forgotten(), lambda seconds: None) == 1  # type: ignore[arg-type] - the journal alone
    assert capsys.readouterr().out.splitlines()[-1].split()[:2] == ["b-1", "compensated"]


def test_fleet_promotes_in_every_row(tmp_path: Path) -> None:
    """The option is not lost: a wrong one is a problem of each row, and nothing is sent."""
    manifest = manifest_of_one_input(tmp_path)
    rows = file(tmp_path, "a\n1\n2\n")
    done = run("submit", str(manifest), "--matrix", rows, "--promotes", "no id", environment={})
    assert done.returncode == 2
    for place in ("w.csv:2 $.promotes", "w.csv:3 $.promotes"):
        assert place in done.stdout, done.stdout


@pytest.mark.parametrize("count", [1, 3])
def test_fleet_says_why_a_row_was_rejected(capsys: pytest.CaptureFixture[str], count: int) -> None:
    """Only the app finds some problems, for example of a promotion: the table has the first, not just their number."""
    ready = fleet.Ready(matrix.Row("w.csv:2", "b-1", {}), {"n": 1})
    problems = tuple({"path": "$.promotes", "message": f"there is no deployment '{n}'"} for n in range(count))
    error = RecordedError(f"the manifest has {count} problems", "Correct them.")
    rejected = header(D.REJECTED, deployment_id="b-1", manifest_hash=ready.hash, problems=problems, error=error)
    followed = fleet.Fleet([ready], "b", LineOutput(standard_output()), None)
    assert followed.follow(Storage({"b-1": rejected})) == 1  # type: ignore[arg-type] - the journal alone
    said = capsys.readouterr().out
    assert "1 deployment: 1 rejected" in said
    assert "$.promotes: there is no deployment '0'" in said
    assert ("and 2 more: python -m shared.cli status b-1" in said) is (count == 3)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (["--label", "matrix=mine"], "--label: names the label matrix"),
        (["--label", "matrix=f"], ""),
        ([], ""),
    ],
)
def test_fleet_does_not_replace_a_label_in_silence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], given: list[str], says: str
) -> None:
    """The rows are found by the label `matrix`, so a caller cannot give it another value; nothing is sent then."""
    manifest = manifest_of_one_input(tmp_path)
    sent: list[str] = []

    class Api:
        blobs = MemoryBlobs()

        def submit(self, text: str) -> None:
            sent.append(text)

    monkeypatch.setattr(fleet, "connect", lambda options: Api())  # pyright: ignore[reportUnknownLambdaType]
    code = main(["submit", str(manifest), "--matrix", file(tmp_path, "a\n1\n"), "--id", "f", *given])
    assert (code, len(sent)) == ((2, 0) if says else (0, 1))
    assert says in capsys.readouterr().out


def test_fleet_reads_standard_input_once() -> None:
    """A manifest and its rows cannot both be standard input: the rows would seem to be empty."""
    done = run("submit", "-", "--matrix", "-", environment={}, text="name: m\nsteps: []\n")
    assert done.returncode == 2
    assert "is standard input, and so is the manifest" in done.stdout


@pytest.mark.parametrize(("error", "code"), [(KeyboardInterrupt(), 130), (StorageUnavailableError("away"), 5)])
@pytest.mark.parametrize("sent_before", [0, 1])
def test_fleet_that_was_sent_in_part_names_the_id_that_continues_it(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    code: int,
    sent_before: int,
) -> None:
    """Without --id the same command would send every row again, under other ids; and no deployment has the id of the
    matrix, so it cannot be followed by it."""
    manifest = manifest_of_one_input(tmp_path)
    sent: list[str] = []

    class Api:
        blobs = MemoryBlobs()

        def submit(self, text: str) -> None:
            if len(sent) == sent_before:
                raise error
            sent.append(json.loads(text)["deployment_id"])

    monkeypatch.setattr(fleet, "connect", lambda options: Api())  # pyright: ignore[reportUnknownLambdaType]
    given = ["submit", str(manifest), "--matrix", file(tmp_path, "a\n1\n2\n")]
    assert main(given) == code
    said = capsys.readouterr().out
    base = said.partition("matrix=")[2].split()[0]
    is_continued = isinstance(error, KeyboardInterrupt) or sent_before > 0
    assert (f"the same command with --id {base} sends the rest" in said) is is_continued
    assert ("before anything was certainly sent" in said) is (code == 130 and not sent_before)
    assert "follow m-" not in said
    assert [name.rpartition("-")[0] for name in sent] == [base] * sent_before


@pytest.mark.parametrize("is_first", [True, False])
def test_fleet_goes_on_after_a_row_that_the_app_refuses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *, is_first: bool
) -> None:
    """Over HTTP the app answers at once: it recorded the row as rejected, and the others are sent."""
    manifest = manifest_of_one_input(tmp_path)
    refused = "f-001" if is_first else "f-002"
    sent: list[str] = []

    class Api:
        blobs = MemoryBlobs()
        journal = Storage({refused: header(D.REJECTED, deployment_id=refused, labels={"matrix": "b"})})

        def submit(self, text: str) -> None:
            sent.append(json.loads(text)["deployment_id"])
            if sent[-1] == refused:
                self.journal.page(1, labels={"matrix": "b"})
                raise ConflictError("the target is locked")

    monkeypatch.setattr(fleet, "connect", lambda options: Api())  # pyright: ignore[reportUnknownLambdaType]
    given = ["submit", str(manifest), "--matrix", file(tmp_path, "a\n1\n2\n3\n"), "--id", "f"]
    assert main(given) == 1
    assert sent == ["f-001", "f-002", "f-003"]
    assert f"{refused} is refused: the target is locked" in capsys.readouterr().out


def test_fleet_packs_the_files_of_each_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The folder of an item and the environment of a repository may be inputs: each row gets its own content. A
    repository is read once for each environment, however many rows there are."""
    shutil.copytree(ROOT / "examples/repository/workspace", tmp_path / "workspace")
    notebook = next((tmp_path / "workspace").rglob("*.Notebook"))
    for name in ("a", "b"):
        shutil.copytree(notebook, tmp_path / name)
        (tmp_path / name / "notebook-content.py").write_text(f"# {name}\n")
    steps = [
        {"id": "one", "kind": "item", "with": {"workspaceId": GUID, "folder": "${{ inputs.folder }}"}},
        {
            "id": "all",
            "kind": "repository",
            "with": {
                "workspaceId": "${{ inputs.place }}",
                "path": "workspace",
                "environment": "${{ inputs.stage }}",
            },
        },
    ]
    manifest = {"name": "m", "inputs": {"folder": {}, "stage": {}, "place": {"default": GUID}}, "steps": steps}
    (tmp_path / "m.json").write_text(json.dumps(manifest))
    scanned: list[str] = []
    monkeypatch.setattr(scan, "scan", lambda *given, real=scan.scan: scanned.append("") or real(*given))  # pyright: ignore[reportUnknownLambdaType,reportUnknownMemberType,reportUnknownArgumentType]
    sent: list[Any] = []
    store = MemoryBlobs()

    class Api:
        journal, blobs = Storage(), store

        def submit(self, text: str) -> None:
            message = json.loads(text)
            sent.append(message.get("manifest") or json.loads(store.get(message["manifest_blob"])))

    monkeypatch.setattr(fleet, "connect", lambda options: Api())  # pyright: ignore[reportUnknownLambdaType]
    other = GUID.replace("0f", "1f")
    rows = f"folder,stage,place\na,PROD,\nb,TEST,\na,TEST,{other}\n"
    assert main(["submit", str(tmp_path / "m.json"), "--matrix", file(tmp_path, rows), "--id", "f"]) == 0
    items = [each["steps"][0]["with"]["definition"] for each in sent]
    assert items[0] == items[2] != items[1]
    templates = [{row.get("template") for row in each["steps"][1]["with"]["items"]} for each in sent]
    assert templates[0] != templates[1] == templates[2]
    assert "path" not in sent[2]["steps"][1]["with"]
    assert len(scanned) == 2
    assert [each["inputs"]["place"].get("value") for each in sent] == [None, None, other]
    printed = capsys.readouterr().out.splitlines()
    assert len([line for line in printed if line.startswith("left out of")]) <= 1


@pytest.mark.parametrize("wait", [False, True])
@pytest.mark.parametrize(("allowed", "code"), [((), 4), (("f-001", "f-003"), 4), (("f-001", "f-002", "f-003"), 0)])
def test_fleet_goes_on_after_a_target_that_the_caller_may_not_change(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    allowed: tuple[str, ...],
    code: int,
    *,
    wait: bool,
) -> None:
    """ALLOWED_TARGETS refuses one row with 403: the others are sent and followed, and the exit code says it."""
    manifest = manifest_of_one_input(tmp_path)
    kept: dict[str, DeploymentRecord] = {}

    class Api:
        blobs = MemoryBlobs()
        journal = Storage(kept)

        def submit(self, text: str) -> None:
            message = json.loads(text)
            name = message["deployment_id"]
            if name not in allowed:
                raise ForbiddenError("the API answers 403: this caller may not change the target")
            digest = content_hash(message["manifest"])
            kept[name] = header(D.SUCCEEDED, deployment_id=name, labels={"matrix": "f"}, manifest_hash=digest)

    monkeypatch.setattr(Api.journal, "page", lambda limit, labels: list(kept.values()))  # pyright: ignore[reportUnknownLambdaType]
    monkeypatch.setattr(fleet, "connect", lambda options: Api())  # pyright: ignore[reportUnknownLambdaType]
    given = ["submit", str(manifest), "--matrix", file(tmp_path, "a\n1\n2\n3\n"), "--id", "f"]
    assert main([*given, *(["--wait", "--timeout", "5m"] if wait else [])]) == code
    assert sorted(kept) == sorted(allowed)
    said = capsys.readouterr().out
    for name in {"f-001", "f-002", "f-003"} - {*allowed}:
        assert f"{name} is refused: the API answers 403: this caller may not change the target" in said
