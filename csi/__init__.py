"""What both plugins share: the CSI protocol, the words of the domain, and how programs are run."""

import os

# gRPC's fork handlers can deadlock programs started from a serving process (grpc/grpc #22624);
# the variable is read when grpc is first imported, so it is set before anything can import it.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

__version__ = "0.1.0"
DRIVER_NAME = "disk.csi.miren.dev"
KEY_PREFIX = "disk.miren.dev/"
"""Of the labels and annotations on Kubernetes objects."""
COORDINATOR_LABEL = f"{KEY_PREFIX}coordinator"
POOL_LABEL = f"{KEY_PREFIX}pool"
"""Of nodes that have a pool, with the value `true`."""
DEFAULT_NAMESPACE = "miren-system"
"""Where the driver is, in the manifests."""
TOPOLOGY_KEY = "topology.disk.csi.miren.dev/node"
