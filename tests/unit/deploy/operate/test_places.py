"""Where backups may be, what opens them, and how many are kept."""

import argparse
from pathlib import Path

import pytest

from csi.errors import InvalidRequest
from deploy.operate import credentials, places, retention
from deploy.operate.places import LocalFile, Repository
from deploy.operate.short_forms import spelled_out


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("pgdata.miren", LocalFile(Path("pgdata.miren"))),
        ("/srv/with:colon", LocalFile(Path("/srv/with:colon"))),
        ("s3:https://s3.example/bucket", Repository("s3:https://s3.example/bucket")),
        ("s3:s3.example/bucket/folder", Repository("s3:s3.example/bucket/folder")),
        ("node:/srv/backups/", Repository("/repository", "/srv/backups")),
    ],
)
def test_a_place_is_what_it_looks_like(text: str, place: places.Place) -> None:
    assert places.parse(text) == place


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-",
        "s3:",
        "s3:bucket",
        "s3:https://s3.example/",
        "node:",
        "node:/",
        "node:srv",
        "node:/srv/../etc",
        "sftp:a:/b",
    ],
)
def test_what_is_no_place_is_told_with_what_to_write(text: str) -> None:
    with pytest.raises(InvalidRequest, match=r"write|whole path"):
        places.parse(text)


@pytest.mark.parametrize("text", ["node:/srv/backups", "s3:https://s3.example/b", "a.miren"])
def test_a_place_is_shown_as_it_was_written(text: str) -> None:
    assert str(places.parse(text)) == text


@pytest.mark.parametrize("scheme", ["https://", ""])
def test_a_key_in_an_address_is_refused_and_not_said_again(scheme: str) -> None:
    with pytest.raises(InvalidRequest, match="AWS_ACCESS_KEY_ID") as refusal:
        places.parse(f"s3:{scheme}me:hu@sh@s3.example/b")
    assert "hu" not in str(refusal.value)
    assert f's3:{scheme}…@s3.example/b"' in str(refusal.value)


def test_a_file_is_no_repository() -> None:
    with pytest.raises(InvalidRequest, match=r'"a\.miren" is a file'):
        places.repository("a.miren")


def test_what_opens_a_repository_comes_from_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("hush\n")
    environ = {"RESTIC_PASSWORD_FILE": str(file), "AWS_ACCESS_KEY_ID": "me", "HOME": "/root"}

    found = credentials.find(None, environ, "miren-system")

    assert found.given == {"RESTIC_PASSWORD": "hush", "AWS_ACCESS_KEY_ID": "me"}
    assert "hush" not in repr(found)


def test_a_secret_that_is_named_is_used_instead() -> None:
    found = credentials.find("nightly", {"RESTIC_PASSWORD": "hush"}, "miren-system")

    assert (found.secret, found.given) == ("nightly", {})


@pytest.mark.parametrize(
    ("environ", "why"),
    [({}, "RESTIC_PASSWORD"), ({"RESTIC_PASSWORD_FILE": "/nowhere/at/all"}, "cannot be read")],
)
def test_without_a_password_nothing_is_begun(environ: dict[str, str], why: str) -> None:
    with pytest.raises(InvalidRequest, match=why):
        credentials.find(None, environ, "miren-system")


def kept(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    retention.add_to(parser)
    return parser.parse_args(words)


def test_how_many_are_kept_is_said_to_the_mover_in_the_same_words() -> None:
    assert retention.words(kept("--keep-daily", "7", "--keep-last", "2")) == [
        *("--keep-last", "2"),
        *("--keep-daily", "7"),
    ]
    assert retention.words(kept()) == []


@pytest.mark.parametrize("number", ["0", "-1", "all", "", "1.5"])
def test_none_are_kept_only_if_nobody_says_anything(
    number: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        kept(f"--keep-last={number}")
    assert "no number of backups" in capsys.readouterr().err
    with pytest.raises(InvalidRequest, match="--keep-last"):
        retention.required(kept())


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        ("disk backup pgdata --to a", "disk backup create pgdata --to a"),
        ("disk backup --to a pgdata", "disk backup create --to a pgdata"),
        ("disk schedule pgdata --cron x", "disk schedule create pgdata --cron x"),
        ("disk backup list a", "disk backup list a"),
        ("disk backup create list --to a", "disk backup create list --to a"),
        ("disk backup --help", "disk backup --help"),
        ("disk backup", "disk backup"),
        ("disk clone backup a", "disk clone backup a"),
        ("deploy backup a", "deploy backup a"),
    ],
)
def test_create_may_be_left_out(words: str, meant: str) -> None:
    assert spelled_out(words.split()) == meant.split()
