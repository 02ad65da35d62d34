"""What a node tells of a disk, whatever version its driver has."""

import builtins
import json
from collections.abc import Mapping
from typing import Any

import pytest

from csi.errors import NotFound, Unavailable
from csi.kubernetes_api import KubernetesApi
from deploy.operate import node_facts
from deploy.operate.driver import Driver
from deploy.operate.node_facts import UNKNOWN, NodeFacts

PAGE = {
    "disks": {
        "idle": {"place": "miren/disk-idle"},
        "used": {
            "place": "miren/disk-used",
            "device": "/dev/mapper/miren-disk--used",
            "mounts": [],
            "space": {"totalBytes": 100, "availableBytes": 25},
            "problems": [],
            "mood": "good",
        },
    }
}


class Node(KubernetesApi):
    """A cluster with one node plugin. A fake: no real one tells such things, or nothing."""

    def __init__(self, page: str | None) -> None:
        self._page = page

    def list(
        self,
        path: str,  # noqa: ARG002
        query: Mapping[str, str] | None = None,  # noqa: ARG002
    ) -> builtins.list[dict[str, Any]]:
        return [{"metadata": {"name": "plugin"}, "spec": {"nodeName": "node-1"}}]

    def text(self, path: str, query: Mapping[str, str] | None = None) -> str:  # noqa: ARG002
        assert path == "/api/v1/namespaces/here/pods/plugin:9808/proxy/disks"
        if self._page is None:
            raise NotFound("there is no /disks here, only /metrics, /healthz, /readyz")
        return self._page


def read(page: str | None, disk: str, node: str = "node-1") -> NodeFacts:
    return node_facts.read(Driver(Node(page), "here"), node, disk)


def test_what_a_node_knows_is_read_and_what_is_new_passed_over() -> None:
    used = read(json.dumps(PAGE), "used")

    assert (used.place, used.device) == ("miren/disk-used", "/dev/mapper/miren-disk--used")
    assert used.full == 0.75
    assert read(json.dumps(PAGE), "idle") == NodeFacts(place="miren/disk-idle")


def test_an_older_node_knows_nothing() -> None:
    assert read(None, "used") == UNKNOWN
    assert read(json.dumps(PAGE), "a-newer-disk") == UNKNOWN
    assert read(json.dumps(PAGE), "used", node="node-2") == UNKNOWN
    assert UNKNOWN.full is None


@pytest.mark.parametrize("page", ["<html>", "[]", "{}", '{"disks": {"used": {"mounts": [1]}}}'])
def test_a_node_that_tells_other_things_is_told_so(page: str) -> None:
    with pytest.raises(Unavailable, match="another version"):
        read(page, "used")
