"""`kubectl miren validate` as its user sees it: each mistake and its place, or that all is well."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from deploy.main import main

ROOT = Path(__file__).parents[3]

RIGHT = """name = "shop"
[services.web]
[[services.db.disks]]
name = "data"
mount_path = "/data"
[[services.db.disks]]
name = "files"
mount_path = "/files"
provider = "local"
[[services.worker.disks]]
name = "files"
mount_path = "/files"
provider = "local"
"""
WARNED = """name = "shop"
  env = [{ key = "A", value = "1" }, { key = "A", value = "2" }]
"""
WRONG = """name = "shop"
[[services.web.disks]]
name = "data"
mount_path = "data"
provider = "local"
size_gb = 10
filesystem = "xfs"
[services.db]
  prot = 80
"""
_MEANS_NOTHING = (
    'means nothing for a local disk; remove it, or write provider = "miren" for a disk of its own\n'
)
WRONG_FINDINGS = (
    "app.toml:4:1: services.web.disks[0].mount_path: "
    'is "data", which is not absolute; write mount_path = "/data"\n'
    f"warning: app.toml:6:1: services.web.disks[0].size_gb: {_MEANS_NOTHING}"
    f"warning: app.toml:7:1: services.web.disks[0].filesystem: {_MEANS_NOTHING}"
    "app.toml:9:3: services.db.prot: is not a known key; did you mean port?\n"
)

Said = tuple[int, str]


class Command:
    """The command, in a folder of its own."""

    def __init__(self, capture: pytest.CaptureFixture[str]) -> None:
        self._capture = capture

    def __call__(self, *arguments: str | Path) -> Said:
        """Return the exit status and what is on standard output; nothing is on the other."""
        status = main(["validate", *map(str, arguments)])
        output, errors = self._capture.readouterr()
        assert errors == ""
        return status, output

    def json(self, *arguments: str | Path) -> tuple[int, dict[str, Any]]:
        status, output = self(*arguments, "-o", "json")
        return status, json.loads(output)


@pytest.fixture
def validate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Command:
    monkeypatch.chdir(tmp_path)
    return Command(capfd)


def test_a_right_file_is_summed_up(validate: Command) -> None:
    Path("app.toml").write_text(RIGHT)
    assert validate("app.toml") == (0, "app.toml: ok: 3 services, 2 disks\n")


def test_one_of_each_is_no_plural(validate: Command) -> None:
    Path("app.toml").write_text(
        'name = "a"\n[[services.db.disks]]\nname = "data"\nmount_path = "/data"\n'
    )
    assert validate("app.toml") == (0, "app.toml: ok: 1 service, 1 disk\n")


def test_a_file_with_warnings_is_right_and_they_are_shown(validate: Command) -> None:
    Path("app.toml").write_text(WARNED)
    status, output = validate("app.toml")
    assert (status, output) == (
        0,
        """\
warning: app.toml:2:40: env[1].key: gives "A" again; keep one: the last one is used
app.toml: ok: 1 service, 0 disks
""",
    )


def test_mistakes_and_warnings_come_together_in_the_files_order(validate: Command) -> None:
    Path("app.toml").write_text(WRONG)
    assert validate("app.toml") == (2, WRONG_FINDINGS)


def test_programs_get_the_same_as_json(validate: Command) -> None:
    Path("app.toml").write_text(WRONG)
    status, document = validate.json("app.toml")
    problems = document.pop("problems")
    assert (status, document) == (
        2,
        {"file": "app.toml", "valid": False, "app": None, "services": None, "disks": None},
    )
    assert problems[0] == {
        "severity": "error",
        "file": "app.toml",
        "line": 4,
        "column": 1,
        "key": "services.web.disks[0].mount_path",
        "what": 'is "data", which is not absolute',
        "instead": 'write mount_path = "/data"',
    }
    assert [(one["severity"], one["line"], one["column"]) for one in problems] == [
        ("error", 4, 1),
        ("warning", 6, 1),
        ("warning", 7, 1),
        ("error", 9, 3),
    ]


def test_programs_get_what_is_in_a_right_file(validate: Command) -> None:
    Path("app.toml").write_text(RIGHT)
    assert validate.json("app.toml") == (
        0,
        {
            "file": "app.toml",
            "valid": True,
            "app": "shop",
            "services": 3,
            "disks": 2,
            "problems": [],
        },
    )


def test_programs_get_a_reason_with_no_place_too(validate: Command) -> None:
    status, document = validate.json("missing.toml")
    [problem] = document["problems"]
    assert (status, document["file"], document["valid"]) == (2, "missing.toml", False)
    assert (problem["line"], problem["column"], problem["key"]) == (None, None, "")
    assert problem["what"] == "cannot be read: No such file or directory"


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    (folder / ".miren").mkdir(parents=True)
    (folder / ".miren" / "app.toml").write_text(RIGHT)
    (folder / "src" / "deep").mkdir(parents=True)
    return folder


@pytest.mark.parametrize("path", [".miren/app.toml", ".", ".miren"])
def test_an_app_is_found_in_a_file_or_a_folder(
    validate: Command, monkeypatch: pytest.MonkeyPatch, shop: Path, path: str
) -> None:
    monkeypatch.chdir(shop)
    assert validate(path) == (0, ".miren/app.toml: ok: 3 services, 2 disks\n")


@pytest.mark.parametrize("cwd", [".", "src/deep"])
def test_an_app_is_searched_upwards(
    validate: Command, monkeypatch: pytest.MonkeyPatch, shop: Path, cwd: str
) -> None:
    monkeypatch.chdir(shop / cwd)
    assert validate() == (0, f"{shop}/.miren/app.toml: ok: 3 services, 2 disks\n")


def test_no_app_anywhere_above(validate: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/proc")
    status, output = validate()
    assert status == 2
    assert output.startswith("/proc: there is no .miren/app.toml here or in any folder above")


def test_a_file_name_cannot_write_to_the_terminal(validate: Command) -> None:
    Path("a\x1b[2J.toml").write_text(RIGHT)
    assert validate("a\x1b[2J.toml") == (0, '"a\\u001B[2J.toml": ok: 3 services, 2 disks\n')


def test_a_disk_that_is_wrong_is_not_told_to_be_missing(validate: Command) -> None:
    Path("app.toml").write_text("""name = "shop"
env = [{ key = "DATABASE", value = "/miren/data/local/db" }]
[[services.web.disks]]
name = "data"
mount_path = "/miren/data/local"
provider = "locl"
""")
    status, output = validate("app.toml")
    [said] = output.splitlines()
    assert status == 2
    assert said.startswith('app.toml:6:1: services.web.disks[0].provider: is "locl"')


def run(*arguments: str, content: bytes = b"", **streams: int) -> subprocess.CompletedProcess[str]:
    """The command as a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "deploy.main", "validate", *arguments],
        cwd=ROOT,
        input=content,
        stderr=subprocess.PIPE,
        stdout=streams.get("stdout", subprocess.PIPE),
        timeout=60,
        check=False,
    )
    output = (done.stdout or b"").decode()
    return subprocess.CompletedProcess(done.args, done.returncode, output, done.stderr.decode())


def test_standard_input_is_checked() -> None:
    result = run("-", content=WRONG.encode())
    expected = WRONG_FINDINGS.replace("app.toml", "<stdin>")
    assert (result.returncode, result.stdout, result.stderr) == (2, expected, "")


def test_a_wrong_option_exits_2_and_says_why() -> None:
    result = run("-o", "xml")
    assert (result.returncode, result.stdout) == (2, "")
    assert "invalid choice: 'xml'" in result.stderr


def test_a_result_that_cannot_be_written_is_no_success() -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    try:
        result = run("-", content=RIGHT.encode(), stdout=full)
    finally:
        os.close(full)
    assert result.returncode == 1
    said = "kubectl-miren: the result could not be written: No space left on device\n"
    assert result.stderr == said
