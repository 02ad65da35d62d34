"""The Service object by which other pods reach a service by name."""

import re

from csi.persistent_volume import Manifest
from deploy import labels
from deploy.model import PortType, Service

# What a proxy in the cluster may make use of:
# https://kubernetes.io/docs/concepts/services-networking/service/#application-protocol
_APP_PROTOCOLS = {
    PortType.HTTP: "http",
    PortType.HTTPS: "https",
    PortType.GRPC: "kubernetes.io/h2c",
}
_LONGEST_PORT_NAME = 15

HEADLESS = "None"
"""What Kubernetes calls the address of a Service that has none of its own."""


def service_object(app: str, service: Service, namespace: str) -> Manifest:
    """Return the Service.

    Without a port it has no address of its own, but those of the pods: all ports of these can be
    reached by its name, as in Miren.
    """
    spec: Manifest = {"selector": labels.of_service(app, service.name)}
    if service.port is None:
        spec = {"clusterIP": HEADLESS, **spec}
    else:
        spec["ports"] = [_port(service, service.port)]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": labels.service_metadata(app, service.name, namespace),
        "spec": spec,
    }


def _port(service: Service, number: int) -> Manifest:
    port: Manifest = {"port": number}
    if name := _port_name(service.port_name or ""):
        port = {"name": name, **port}
    if service.port_type is PortType.UDP:
        port["protocol"] = "UDP"
    if protocol := _APP_PROTOCOLS.get(service.port_type):
        port["appProtocol"] = protocol
    return port


def _port_name(text: str) -> str:
    """Return a name as near to the text as Kubernetes allows, empty where nothing is left."""
    plain = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:_LONGEST_PORT_NAME].rstrip("-")
    return plain if re.search(r"[a-z]", plain) else ""
