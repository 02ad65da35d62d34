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
    """Return the labels of a service's objects and pods, and of the selectors of these.

    All three in selectors, which can never be changed: a chart of another vendor may label its
    pods with the same app and component.
    """
    return {APP: app, SERVICE: service, MANAGER: OURS}
