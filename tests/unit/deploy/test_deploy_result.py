"""What deploy tells programs; tests/cluster/test_deploy_json.py sees it told of a real cluster."""

import json
from typing import Any

from deploy import parse
from deploy.deploy_result import DeployResult
from deploy.rollout import Progress

CONFIG = parse(
    """
    name = "shop"
    [services.web]
    [[services.web.disks]]
    name = "files"
    provider = "local"
    mount_path = "/files"
    [services.job]
    [[services.job.disks]]
    name = "files"
    provider = "local"
    mount_path = "/in"
    read_only = true
    [[services.job.disks]]
    name = "Queue"
    mount_path = "/queue"
    size_gb = 1
    """
)


def told(*seen: Progress, error: str = "") -> dict[str, Any]:
    found: dict[str, Any] = json.loads(DeployResult(CONFIG, "team", seen, error).as_json())
    return found


def test_a_running_app_is_told_with_its_services_and_disks() -> None:
    result = told(
        Progress("job", is_ready=True, doing="ready, 1 instance", ready_instances=1),
        Progress("web", is_ready=True, doing="ready, 2 instances", ready_instances=2),
    )

    fine: dict[str, Any] = {"ready": True, "reason": None, "log": []}
    assert result == {
        "app": "shop",
        "namespace": "team",
        "running": True,
        "error": None,
        "services": [
            {"name": "job", "address": "shop-job.team.svc", "ready_instances": 1, **fine},
            {"name": "web", "address": "shop-web.team.svc:3000", "ready_instances": 2, **fine},
        ],
        "disks": [
            {
                "name": "Queue",
                "provider": "miren",
                "volume": "queue-3b2fe03e",
                "services": ["job"],
            },
            {
                "name": "files",
                "provider": "local",
                "volume": "local-shop-files-7f86dc0d",
                "services": ["job", "web"],
            },
        ],
    }


def test_each_service_that_does_not_run_has_its_reason() -> None:
    job = Progress("job", is_ready=False, doing="failed", failure="it ended", log=("no table",))
    web = Progress("web", is_ready=False, doing="waiting (1 of 2 ready)", ready_instances=1)

    result = told(job, web, error="job does not run: it ended")

    assert (result["running"], result["error"]) == (False, "job does not run: it ended")
    failed, late = result["services"]
    assert (failed["ready"], failed["reason"], failed["log"]) == (False, "it ended", ["no table"])
    assert (late["ready"], late["ready_instances"]) == (False, 1)
    assert (late["reason"], late["log"]) == ("waiting (1 of 2 ready)", [])


def test_before_services_are_looked_at_only_the_error_is_known() -> None:
    result = told(error='there is no namespace "team"')

    assert result["error"] == 'there is no namespace "team"'
    for service in result["services"]:
        assert (service["ready"], service["ready_instances"], service["reason"]) == (False, 0, None)
