"""What a shell completes in `kubectl miren …`."""

import pytest

from deploy.completion import complete, main

DISKS = ["pgdata", "photos", "shop-data"]


def words(*typed: str) -> list[str]:
    return [word for word, _ in complete(typed, lambda: DISKS)[0]]


@pytest.mark.parametrize(
    ("typed", "candidates"),
    [
        (["de"], ["deploy"]),
        (["disk", "s"], ["status", "snapshot", "schedule"]),
        (["disk", "snapshot", ""], ["create", "list", "restore", "delete"]),
        (["disk", "status", "p"], ["pgdata", "photos"]),
        (["disk", "status", "-i", "s"], ["shop-data"]),
        (["disk", "delete", "--yes", "pg"], ["pgdata"]),
        (["disk", "list", "--st"], ["--state"]),
        (["disk", "list", "-o", ""], ["table", "wide", "json", "yaml", "name"]),
        (["disk", "create", "-f", "x"], ["xfs"]),
        (["disk", "lease", "list", "-d", "ph"], ["photos"]),
        (["disk", "backup", "p"], ["prune", "pgdata", "photos"]),
        (["disk", "backup", "pgdata", "--keep-d"], ["--keep-daily"]),
        (["disk", "backup", "create", "ph"], ["photos"]),
        (["disk", "backup", "prune", "s3:here", "--y"], ["--yes"]),
        (["disk", "schedule", "sh"], ["shop-data"]),
        (["undeploy", ""], []),
        (["nothing", "li"], []),
    ],
)
def test_the_words_that_fit(typed: list[str], candidates: list[str]) -> None:
    assert words(*typed) == candidates


def test_commands_say_what_they_are_for() -> None:
    found, _ = complete(["disk", "cl"], lambda: DISKS)

    assert found == [("clone", "copy a disk, in use or not")]


@pytest.mark.parametrize(
    ("typed", "directive"),
    [
        (["deploy", ""], ":0"),
        (["deploy", "--dr"], ":4"),
        (["disk", "status", ""], ":4"),
        (["disk", "restore", ""], ":0"),
        (["disk", "backup", "list", ""], ":0"),
        (["disk", "backup", "pgdata", "--to", ""], ":0"),
        (["disk", "backup", "pgdata", "--secret", ""], ":4"),
    ],
)
def test_files_are_candidates_where_a_file_is_named(typed: list[str], directive: str) -> None:
    assert complete(typed, lambda: DISKS)[1] == directive


def test_kubectl_gets_lines_and_a_directive(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["disk", "cl"]) == 0

    assert capsys.readouterr().out == "clone\tcopy a disk, in use or not\n:4\n"


def test_without_a_cluster_there_are_no_disks_and_no_noise(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", "/nowhere/config")

    assert main(["disk", "status", ""]) == 0

    assert capsys.readouterr() == (":4\n", "")
