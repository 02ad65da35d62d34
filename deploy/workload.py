"""The Deployment that runs a service, and the HorizontalPodAutoscaler of one that scales."""

from csi import KEY_PREFIX
from csi.persistent_volume import Manifest
from deploy import labels
from deploy.environment import CHECKSUM_KEY, Environment
from deploy.model import AppConfig, AutoConcurrency, FixedConcurrency, Service
from deploy.options import Options
from deploy.pods import Container, container_name, is_probed, pod_spec

REQUESTS_KEY = f"{KEY_PREFIX}requests-per-instance"

_CPU = "100m"
_CPU_TARGET = 80
"""Percent of that, on average, above which there are more instances."""
_MOST_INSTANCES = 10
LONGEST_DELAY = 3600
"""Seconds: stabilizationWindowSeconds of autoscaling/v2 may be no more."""

_TRIAL = 5
"""Seconds that an instance has to run before it counts, where nothing else tells that it works."""

_PROGRESS = 600
"""Seconds that Kubernetes gives a rollout by default."""
_LONGEST_PROGRESS = 2**31 - 1
"""Seconds: progressDeadlineSeconds is an int32, less than a lease_timeout may be."""


def deployment(
    config: AppConfig, service: Service, image: str, environment: Environment, options: Options
) -> Manifest:
    """Return the Deployment of a service."""
    scales = isinstance(service.concurrency, AutoConcurrency)
    container = Container(
        container_name(service.name),
        image,
        service.command,
        environment,
        service.disks,
        service.port,
        service.port_type,
        cpu=_CPU if scales else "",
    )
    metadata: Manifest = {"labels": labels.of_service(config.name, service.name)}
    if environment.variables:
        metadata["annotations"] = {CHECKSUM_KEY: environment.checksum()}
    spec: Manifest = {
        "selector": {"matchLabels": labels.of_service(config.name, service.name)},
        "template": {"metadata": metadata, "spec": pod_spec(config, container, options)},
    }
    if isinstance(service.concurrency, FixedConcurrency):
        spec = {"replicas": service.concurrency.num_instances, **spec}
    if not is_probed(container):
        spec["minReadySeconds"] = _TRIAL
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": labels.service_metadata(config.name, service.name, options.namespace),
        "spec": {**spec, **_exclusive(service)},
    }


def _exclusive(service: Service) -> Manifest:
    """Return how a service is replaced whose disk only one instance can have."""
    waits = [disk.lease_timeout for disk in service.disks if disk.is_miren]
    if not waits:
        return {}
    # Of what it may wait for the lease nothing is left to pull images and to start.
    deadline = min(int(max(waits)) + _PROGRESS, _LONGEST_PROGRESS)
    patience = {"progressDeadlineSeconds": deadline} if deadline > _PROGRESS else {}
    return {"strategy": {"type": "Recreate"}, **patience}


def autoscaler(
    config: AppConfig, service: Service, scaling: AutoConcurrency, options: Options
) -> Manifest:
    """Return the autoscaler of a service."""
    metadata = labels.service_metadata(config.name, service.name, options.namespace)
    metadata["annotations"] = {REQUESTS_KEY: str(scaling.requests_per_instance)}
    target = {"type": "Utilization", "averageUtilization": _CPU_TARGET}
    delay = min(int(scaling.scale_down_delay), LONGEST_DELAY)
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": metadata,
        "spec": {
            "scaleTargetRef": {
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "name": metadata["name"],
            },
            "maxReplicas": _MOST_INSTANCES,
            "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": target}}],
            "behavior": {"scaleDown": {"stabilizationWindowSeconds": delay}},
        },
    }
