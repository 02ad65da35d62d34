"""`post_import`: a command that runs once for each new image, as a Job."""

import hashlib
import json
from dataclasses import replace

from csi.object_names import hashed_name
from csi.persistent_volume import Manifest
from deploy import labels
from deploy.environment import Environment
from deploy.model import AppConfig
from deploy.options import Options
from deploy.pods import Container, pod_spec

_WEB = "web"
_RETRIES = 2


def environment_name(app: str) -> str:
    """Return what the Secret with the app's own environment is called."""
    return hashed_name(f"{app}-post-import", of=f"{app}//post-import")


def job(
    config: AppConfig, line: str, image: str, environment: Environment, options: Options
) -> Manifest:
    """Return the Job that runs a line of shell.

    It never changes: when it does another thing, its name is another one. It has no miren disk,
    as the instance that runs holds that, but the local disks of `web`.
    """
    web = next((service for service in config.services if service.name == _WEB), None)
    disks = [disk for disk in web.disks if not disk.is_miren] if web else []
    container = Container("post-import", image, line, environment, disks)
    spec = pod_spec(config, container, options)
    # Addresses are known only once Service objects exist: they make it no other import.
    lasting = pod_spec(config, container, replace(options, cluster_ips={}))
    digest = hashlib.sha256(json.dumps(lasting, sort_keys=True).encode()).hexdigest()
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": hashed_name(f"{config.name}-post-import", of=f"{config.name} {digest}"),
            "namespace": options.namespace,
            "labels": labels.of_app(config.name),
        },
        "spec": {
            "backoffLimit": _RETRIES,
            "template": {
                "metadata": {"labels": labels.of_app(config.name)},
                "spec": {"restartPolicy": "Never", **spec},
            },
        },
    }
