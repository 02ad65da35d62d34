"""A real API server takes the CSIDriver object, also where an older version has left one."""

import urllib.error
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster.api_server import ApiServer
from tests.lvm.vm import ROOT

pytestmark = pytest.mark.loop_only  # no pool is in it: once is enough

DRIVERS = "/apis/storage.k8s.io/v1/csidrivers"
APPLY = "application/apply-patch+yaml"


def manifest() -> dict[str, Any]:
    text = (ROOT / "deploy/kubernetes/base/csidriver.yaml").read_text()
    found: dict[str, Any] = yaml.safe_load(text)
    return found


def apply(server: ApiServer, driver: dict[str, Any]) -> dict[str, Any]:
    """`kubectl apply --server-side`."""
    path = f"{DRIVERS}/{driver['metadata']['name']}?fieldManager=operator&force=true"
    return server.request("PATCH", path, driver, APPLY)


def test_an_older_object_is_deleted_before_the_new_one_is_applied(api_server: ApiServer) -> None:
    older = manifest()
    older["spec"]["volumeLifecycleModes"] = ["Persistent"]
    apply(api_server, older)

    with pytest.raises(urllib.error.HTTPError) as refused:
        apply(api_server, manifest())
    assert "immutable" in refused.value.read().decode()

    document = Path(ROOT / "docs/install.md").read_text()
    name = manifest()["metadata"]["name"]
    assert f"\nkubectl delete csidriver {name}\nkubectl apply" in document
    api_server.request("DELETE", f"{DRIVERS}/{name}")
    made = apply(api_server, manifest())

    assert made["spec"]["volumeLifecycleModes"] == ["Persistent", "Ephemeral"]
    assert made["spec"]["podInfoOnMount"] is True  # it says whose pod wants an inline volume
    api_server.request("DELETE", f"{DRIVERS}/{name}")
