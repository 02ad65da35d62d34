"""The labels by which an app's objects are found.

https://kubernetes.io/docs/concepts/overview/working-with-objects/common-labels/
"""

APP = "app.kubernetes.io/name"
SERVICE = "app.kubernetes.io/component"
MANAGER = "app.kubernetes.io/managed-by"
OURS = "miren-csi"


def of_app(app: str) -> dict[str, str]:
    """Return the labels of what belongs to the whole app."""
    return {APP: app, MANAGER: OURS}


def of_service(app: str, service: str) -> dict[str, str]:
    """Return the labels of a service's objects."""
    return {APP: app, SERVICE: service, MANAGER: OURS}


def of_pods(app: str, service: str) -> dict[str, str]:
    """Return the labels that tell a service's pods from others: selectors can never be changed."""
    return {APP: app, SERVICE: service}
