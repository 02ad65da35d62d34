"""Whose log a service that does not run is told with; what kubelet answers is made up here."""

from collections.abc import Callable, Mapping
from typing import Any, cast

import pytest

from csi.kubernetes_api import KubernetesApi
from deploy.app_cluster import AppCluster
from deploy.rollout import job_progress

_RUNS_AGAIN = {"restartCount": 2, "state": {"running": {}}}
_ENDED_AGAIN = {"restartCount": 2, "state": {"terminated": {"exitCode": 3}}}
_JOB = {
    "metadata": {"name": "import"},
    "status": {"conditions": [{"type": "Failed", "status": "True"}]},
}


class _Kubelet:
    """A cluster with one pod, and what its kubelet says when it is asked for a log."""

    def __init__(self, status: Mapping[str, Any], log: Callable[[bool], str]) -> None:
        self._log = log
        self._pod = {
            "metadata": {"name": "shop-job-x", "creationTimestamp": "2026-11-28T10:00:00Z"},
            "spec": {"containers": [{"name": "job"}]},
            "status": {"containerStatuses": [status]},
        }

    def list(self, _path: str, _query: Mapping[str, str]) -> list[dict[str, Any]]:
        return [self._pod]

    def text(self, _path: str, query: Mapping[str, str]) -> str:
        return self._log("previous" in query)


def told(status: Mapping[str, Any], log: Callable[[bool], str]) -> list[str]:
    api = cast("KubernetesApi", _Kubelet(status, log))
    return list(job_progress(AppCluster(api, "team"), _JOB).log)


@pytest.mark.parametrize(
    "nothing",
    [
        "",
        "unable to retrieve container logs for containerd://1f",
        'failed to try resolving symlinks in path "/var/log/pods/x/job/2.log": lstat …',
    ],
)
@pytest.mark.parametrize(("status", "kept"), [(_RUNS_AGAIN, True), (_ENDED_AGAIN, False)])
def test_the_other_log_is_shown_where_there_is_none(
    status: Mapping[str, Any], kept: bool, nothing: str
) -> None:
    said = told(status, lambda previous: "no such table\n" if previous is kept else nothing)
    assert said == ["no such table"]
