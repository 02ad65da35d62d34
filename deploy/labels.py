"""The names and labels by which an app's objects are found.

https://kubernetes.io/docs/concepts/overview/working-with-objects/common-labels/
"""

from csi.persistent_volume import MANAGED, Manifest
from deploy.service_names import service_name

APP = "app.kubernetes.io/name"
SERVICE = "app.kubernetes.io/component"


def of_app(app: str) -> dict[str, str]:
    """Return the labels of what belongs to the whole app."""
    return {APP: app, **MANAGED}


def service_metadata(app: str, service: str, namespace: str) -> Manifest:
    """Return the metadata of a service's objects, which all have one name."""
    return {
        "name": service_name(app, service),
        "namespace": namespace,
        "labels": of_service(app, service),
    }


def of_service(app: str, service: str) -> dict[str, str]:
    """Return the labels of a service's objects and pods, and of the selectors of these.

    All three in selectors, which can never be changed: a chart of another vendor may label its
    pods with the same app and component.
    """
    return {APP: app, SERVICE: service, **MANAGED}
