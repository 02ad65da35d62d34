"""What is made of the answers of calls in the driver's pods."""

import builtins
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from csi.errors import Unavailable
from csi.kubernetes_api import KubernetesApi, Ran
from deploy.operate.disk_cluster import DiskCluster
from deploy.operate.driver import CallFailed, Driver


class Controller(KubernetesApi):
    """A cluster whose controller answers a call in one way.

    A fake: kubelet's wrong status cannot be had on demand.
    """

    def __init__(self, ran: Ran) -> None:
        self._ran = ran

    def list(
        self,
        path: str,  # noqa: ARG002
        query: Mapping[str, str] | None = None,  # noqa: ARG002
    ) -> builtins.list[dict[str, Any]]:
        ready = {"conditions": [{"type": "Ready", "status": "True"}]}
        return [{"metadata": {"name": "controller-0"}, "status": ready}]

    def run(
        self, namespace: str, pod: str, container: str, command: Sequence[str], *, within: float
    ) -> Ran:
        del namespace, pod, container, command, within
        return self._ran


UNKNOWN = '{"code": "NOT_FOUND", "message": "disk \\"db\\" does not exist"}\n'


@pytest.mark.parametrize("status", [1, 0])
def test_a_refusal_is_one_whatever_status_kubelet_gives_it(status: int) -> None:
    api = Controller(Ran(status, UNKNOWN, ""))

    with pytest.raises(CallFailed, match="does not exist") as failed:
        Driver(api, "here").control("ControllerGetVolume", volume_id="db")

    assert failed.value.code == "NOT_FOUND"
    assert not DiskCluster(api, "here").exists("db")


def test_a_call_that_says_nothing_has_no_known_end() -> None:
    api = Controller(Ran(0, "", ""))

    with pytest.raises(Unavailable, match="ControllerGetVolume in pod controller-0"):
        DiskCluster(api, "here").exists("db")
