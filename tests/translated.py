"""All manifests of an app, as tests and the benchmark of the translator ask for them."""

from deploy import AppConfig, Manifest, Options, translate

_OPTIONS = Options(image="registry.example/app:1")


def manifests(config: AppConfig) -> list[Manifest]:
    """Return the manifests of an app."""
    return translate(config, _OPTIONS)
