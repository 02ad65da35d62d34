"""Which rows somebody gets who watches disks."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest
import yaml

from csi.errors import DiskError, Unavailable
from deploy.operate.disk_rows import DiskRows
from deploy.operate.disk_state import DiskState
from deploy.operate.disk_watch import watch
from deploy.operate.overview import DiskFacts

DISK = DiskFacts(
    name="pgdata",
    volume="pgdata",
    size=1 << 30,
    used=None,
    filesystem="ext4",
    state=DiskState.DETACHED,
    holder="",
    claim="",
    node="node-1",
    created=datetime(2026, 1, 1, tzinfo=UTC),
    created_by="",
    problems=(),
)
HELD = replace(DISK, state=DiskState.ATTACHED, holder="shop/db-0")
OTHER = replace(DISK, name="a-disk-with-a-long-name")


class Looks:
    """What each look finds, one after the other: disks that fit, or why it fails."""

    def __init__(self, *found: list[DiskFacts] | DiskError) -> None:
        self._found = iter(found)
        self.unwanted: set[str] = set()
        """Holders whose disks were not asked for."""

    def __call__(self) -> list[tuple[DiskFacts, bool]]:
        found = next(self._found, None)
        if found is None:
            raise KeyboardInterrupt
        if isinstance(found, DiskError):
            raise found
        return [(disk, disk.holder not in self.unwanted) for disk in found]


def watched(looks: Looks, form: str = "table") -> Iterator[str]:
    """What is printed until the looks are at their end."""
    try:
        yield from watch(looks, DiskRows(form), wait=lambda _: None)
    except KeyboardInterrupt:
        return


def rows(looks: Looks) -> list[list[str]]:
    return [line.split()[:6] for text in watched(looks) for line in text.splitlines()]


FREE_ROW = ["pgdata", "1Gi", "-", "ext4", "detached", "-"]
HELD_ROW = ["pgdata", "1Gi", "-", "ext4", "attached", "shop/db-0"]


def test_a_disk_is_shown_again_when_it_has_changed_and_only_then() -> None:
    head, *found = rows(Looks([DISK], [DISK], [HELD], [HELD], [DISK]))

    assert head == ["NAME", "SIZE", "USED", "FS", "STATE", "HOLDER"]
    assert found == [FREE_ROW, HELD_ROW, FREE_ROW]


def test_that_a_disk_grows_older_is_no_change() -> None:
    assert len(rows(Looks([DISK], [replace(DISK, created=datetime.now(UTC))]))) == 2


def test_a_disk_that_is_gone_is_shown_once_more() -> None:
    _, _, gone = rows(Looks([DISK], [], []))

    assert gone == ["pgdata", "1Gi", "-", "ext4", "deleted", "-"]


def test_a_disk_that_is_no_more_what_was_asked_for_is_shown_as_it_is_now_and_left_out() -> None:
    looks = Looks([DISK], [HELD], [replace(HELD, used=5)], [DISK])
    looks.unwanted = {"shop/db-0"}

    assert rows(looks)[1:] == [FREE_ROW, HELD_ROW, FREE_ROW]


def test_columns_stay_where_they_are_until_they_are_too_narrow() -> None:
    lines = "".join(watched(Looks([DISK], [DISK, OTHER], [HELD, OTHER]))).splitlines()

    assert lines[1].index("1Gi") == len("pgdata   ")
    assert lines[2].index("1Gi") == lines[3].index("1Gi") == len(OTHER.name) + 3


def test_programs_get_an_object_a_line() -> None:
    lines = "".join(watched(Looks([DISK], [HELD]), "json")).splitlines()

    assert [json.loads(line)["holder"] for line in lines] == [None, "shop/db-0"]


def test_what_is_read_as_yaml_is_a_document_a_change() -> None:
    documents = yaml.safe_load_all("".join(watched(Looks([DISK, OTHER], [HELD, OTHER]), "yaml")))

    assert [(one["name"], one["holder"]) for one in documents] == [
        (DISK.name, None),
        (OTHER.name, None),
        (DISK.name, "shop/db-0"),
    ]


def test_a_cluster_that_is_away_is_told_of_once(capsys: pytest.CaptureFixture[str]) -> None:
    away = Unavailable("the API server is away")

    assert rows(Looks([DISK], away, away, [HELD]))[1:] == [FREE_ROW, HELD_ROW]
    assert capsys.readouterr().err == "warning: the API server is away; still watching\n"


def test_what_cannot_be_seen_at_all_is_an_error() -> None:
    with pytest.raises(Unavailable):
        next(watched(Looks(Unavailable("the API server is away"))))
