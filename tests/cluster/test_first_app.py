"""README's first app, followed word by word: a database that answers, and a disk to look at."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster import images
from tests.cluster.cluster import Cluster
from tests.cluster.driver import Driver
from tests.cluster.transcript import README, Reader, transcripts_in


@pytest.fixture
def reader(
    kubernetes: Cluster,
    driver: Driver,  # noqa: ARG001 - installed
    tmp_path: Path,
) -> Iterator[Reader]:
    """Somebody who has saved the app.toml, and has kubectl and kubectl-miren."""
    kubernetes.load(images.postgresql())
    # README's cluster has no other disks; this one has those that other tests' apps left.
    for disk in json.loads(kubernetes.miren("disk", "list", "-o", "json").stdout):
        removed = kubernetes.miren("disk", "delete", disk["name"], "--yes")
        assert removed.returncode == 0, removed.stderr
    yield Reader(kubernetes, tmp_path)
    kubernetes.miren("undeploy", "shop")
    kubernetes.miren("disk", "delete", "shopdata", "--yes", within=120)


def test_followed_word_by_word(reader: Reader) -> None:
    (first_app,) = transcripts_in(README, "Deploy your first app")
    (look,) = transcripts_in(README, "Look after disks")
    assert "psql" in first_app[-1].command

    for step in first_app:
        reader.sees(step)
    for step in look:
        reader.sees_alike(step, until="Events")
