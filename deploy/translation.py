"""An app as Kubernetes objects: disks first, then what services need, then the services."""

from collections.abc import Iterator
from dataclasses import replace

from csi.persistent_volume import Manifest
from deploy import post_import
from deploy.disks import translate_disks
from deploy.environment import Environment
from deploy.given_environment import with_given
from deploy.hosts import Hosts
from deploy.model import AppConfig, AutoConcurrency, Service
from deploy.options import DEFAULTS, Options
from deploy.service_names import service_name
from deploy.service_port import service_object
from deploy.workload import autoscaler, deployment


def translate(config: AppConfig, options: Options = DEFAULTS) -> list[Manifest]:
    """Return all objects of an app, always the same for the same app, in the order to apply.

    Raises:
        ValueError: a service needs an image that nobody named, or has too large an environment.
    """
    return [*translate_disks(config, options), *translate_services(config, options)]


def translate_services(config: AppConfig, options: Options = DEFAULTS) -> list[Manifest]:
    """Return the objects of an app but its disks.

    Raises:
        ValueError: as `translate`.
    """
    _require_image(config, options)
    config = with_given(config, options.environment)
    return [*_services(config, options, Hosts(config))]


def _services(config: AppConfig, options: Options, hosts: Hosts) -> Iterator[Manifest]:
    services = [_resolved(service, hosts) for service in config.services]
    of_app = _app_environment(config, options, hosts)
    of_services = {one.name: _environment(config, one, options, hosts) for one in services}
    for environment in (*of_services.values(), *([of_app] if config.post_import else [])):
        if environment.variables:
            yield environment.secret(options.namespace)
    for service in services:
        yield service_object(config.name, service, options.namespace)
    if config.post_import:
        line = hosts.resolve(config.post_import)
        yield post_import.job(config, line, options.image or "", of_app, options)
    for service in services:
        image = service.image or options.image or ""
        yield deployment(config, service, image, of_services[service.name], options)
    for service in services:
        if isinstance(service.concurrency, AutoConcurrency):
            yield autoscaler(config, service, service.concurrency, options)


def _require_image(config: AppConfig, options: Options) -> None:
    if options.image is not None:
        return
    without = [service.name for service in config.services if not service.image]
    if not without and not config.post_import:
        return
    one = f"service {without[0]}" if without else "post_import"
    runs = (
        f"services {', '.join(without)} of {config.name} run"
        if without[1:]
        else (f"{one} of {config.name} runs")
    )
    raise ValueError(f"{runs} the app's built image: name it with --image")


def _resolved(service: Service, hosts: Hosts) -> Service:
    """Return a service whose command names others by their addresses in the cluster."""
    return replace(service, command=hosts.resolve(service.command)) if service.command else service


def _environment(
    config: AppConfig, service: Service, options: Options, hosts: Hosts
) -> Environment:
    said = {**config.environment(service), **options.environment}
    variables = {key: hosts.resolve(text) for key, text in said.items()}
    name = service_name(config.name, service.name)
    return Environment(config.name, service.name, name, variables)


def _app_environment(config: AppConfig, options: Options, hosts: Hosts) -> Environment:
    said = {**{entry.key: entry.value for entry in config.env}, **options.environment}
    variables = {key: hosts.resolve(text) for key, text in said.items()}
    return Environment(config.name, None, post_import.environment_name(config.name), variables)
