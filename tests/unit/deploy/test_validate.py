"""`kubectl miren validate` as its user sees it: each mistake and its place, or that all is well."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from deploy.main import main
from tests.unit.deploy.test_bad_files import CASES

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


def run(
    *arguments: str, cwd: Path = ROOT, content: bytes = b"", stdout: int = subprocess.PIPE
) -> subprocess.CompletedProcess[str]:
    """The command as a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "deploy.main", "validate", *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        input=content,
        stderr=subprocess.PIPE,
        stdout=stdout,
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


@pytest.mark.parametrize(
    ("content", "said"), [pytest.param(*case[1:], id=case[0]) for case in CASES]
)
def test_each_bad_file_exits_2_with_what_is_wrong(
    validate: Command, content: str, said: str
) -> None:
    Path("app.toml").write_text(content)
    status, output = validate("app.toml")
    mistakes = [line for line in output.splitlines() if not line.startswith("warning: ")]
    assert (status, mistakes) == (2, said.splitlines())


TOO_LARGE = "is larger than 1 MiB; an app.toml is a short text: check the path"
TOO_DEEP = "is nested more than 32 deep; an app.toml never needs more than 6 levels"
OF_ANY_KIND = {
    "empty": (b"", ': name: is missing; write name = "my-app"'),
    "BOM alone": (b"\xef\xbb\xbf", ': name: is missing; write name = "my-app"'),
    "latin-1": (b"name = 'caf\xe9'", ":1:12: is not UTF-8 text (byte 0xE9); save it as UTF-8"),
    "UTF-16": ("name = 'a'".encode("utf-16"), ":1:1: is UTF-16 text; save it as UTF-8"),
    "program": (b"\x7fELF\0", ":1:5: contains a NUL character; is it a text file at all?"),
    "gzip": (b"\x1f\x8b\x08", ":1:2: is not UTF-8 text (byte 0x8B); save it as UTF-8"),
    "BOM, CRLF": (
        b"\xef\xbb\xbfname = 'a'\r\n  nmae = 'b'\r\n",
        ":2:3: nmae: is not a known key; did you mean name?",
    ),
    "50 MB": (b"#" * (50 << 20), f": {TOO_LARGE}"),
    "deep": (b"include = " + b"[" * 500_000, f":1:43: {TOO_DEEP}"),
}


@pytest.mark.parametrize(("content", "said"), OF_ANY_KIND.values(), ids=OF_ANY_KIND)
def test_content_of_any_kind_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "app.toml").write_bytes(content)
    result = run("app.toml", cwd=tmp_path)
    assert (result.returncode, result.stdout, result.stderr) == (2, f"app.toml{said}\n", "")


ASK = "give the path of an app.toml, or of a folder that holds .miren/app.toml"


def test_paths_of_any_kind_are_refused(tmp_path: Path) -> None:
    loop = tmp_path / "loop.toml"
    loop.symlink_to(loop)
    (tmp_path / "folder").mkdir()
    refused = {
        "missing.toml": "cannot be read: No such file or directory",
        "loop.toml": "cannot be read: Too many levels of symbolic links",
        # Not even root can read it.
        "/proc/self/mem": "cannot be read: Input/output error",
        "n" * 300: "cannot be read: File name too long",
    }
    for path, why in refused.items():
        result = run(path, cwd=tmp_path)
        assert (result.returncode, result.stderr) == (2, "")
        assert result.stdout == f"{path}: {why}; {ASK}\n"
    result = run("folder", cwd=tmp_path)
    assert (result.returncode, result.stderr) == (2, "")
    why = "cannot be read: No such file or directory"
    assert result.stdout == f"folder/.miren/app.toml: {why}; {ASK}\n"
