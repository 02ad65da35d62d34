"""All manifests of an app, as tests and the benchmark of the translator ask for them."""

from deploy import AppConfig, Manifest, translate_disks


def manifests(config: AppConfig) -> list[Manifest]:
    """Return the manifests of an app: so far, of its disks."""
    return translate_disks(config)
