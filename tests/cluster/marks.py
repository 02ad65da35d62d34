"""Marks that say why a test wants nodes that are VMs."""

import pytest

GROWS = pytest.mark.pools("lvm")
"""A disk grows while it is mounted: a machine's containers may lack CAP_SYS_RESOURCE for ext4."""
