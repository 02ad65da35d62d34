"""What Kubernetes refuses to change in an object by applying a manifest over it.

Both come from what the API server has filled in, which no manifest can take back.
"""

from csi.kubernetes_api import Object
from deploy.service_port import HEADLESS


def must_be_new(live: Object, manifest: Object) -> bool:
    """Whether a Service is to lose its address or to get one, which only a new one can."""
    if manifest["kind"] != "Service":
        return False
    is_headless = address(live) == HEADLESS
    return is_headless != (address(manifest) == HEADLESS)


def address(service: Object) -> str:
    """Return the address of a Service, HEADLESS, or nothing where it has none yet."""
    return str(service["spec"].get("clusterIP", ""))


def rolls_but_must_not(live: Object, manifest: Object) -> bool:
    """Whether a Deployment has the parameters of another strategy than the one it is to have.

    https://github.com/kubernetes/kubernetes/issues/24198
    """
    return (
        manifest["kind"] == "Deployment"
        and "strategy" in manifest["spec"]
        and "rollingUpdate" in live["spec"].get("strategy", {})
    )
