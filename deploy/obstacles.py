"""What Kubernetes refuses to change in an object by applying a manifest over it.

Both come from what the API server has filled in, which no manifest can take back.
"""

from csi.kubernetes_api import Object


def has_address_to_lose(live: Object, manifest: Object) -> bool:
    """Whether a Service has an address, and is to have none: only a new one is without it."""
    if manifest["kind"] != "Service" or manifest["spec"].get("clusterIP") != "None":
        return False
    return bool(live["spec"].get("clusterIP") != "None")


def rolls_but_must_not(live: Object, manifest: Object) -> bool:
    """Whether a Deployment has the parameters of another strategy than the one it is to have.

    https://github.com/kubernetes/kubernetes/issues/24198
    """
    return (
        manifest["kind"] == "Deployment"
        and "strategy" in manifest["spec"]
        and "rollingUpdate" in live["spec"].get("strategy", {})
    )
