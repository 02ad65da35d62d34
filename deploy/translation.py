"""An app as Kubernetes objects: disks first, then what services need, then the services."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from csi.persistent_volume import Manifest
from deploy import post_import
from deploy.disks import translate_disks
from deploy.environment import Environment
from deploy.given_environment import with_given
from deploy.hosts import with_addresses
from deploy.model import AppConfig, Service
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
    app = config.name
    services = [_addressed(config, service) for service in config.services]
    environments = {service.name: _environment(config, service, options) for service in services}
    of_app = _app_environment(config, options)
    secrets = [*environments.values(), *([of_app] if config.post_import else [])]
    return [
        *(one.secret(options.namespace) for one in secrets if one.variables),
        *(service_object(app, service, options.namespace) for service in services),
        *_jobs(config, of_app, options),
        *(
            deployment(
                config, service, _image(service, options), environments[service.name], options
            )
            for service in services
        ),
        *filter(None, (autoscaler(config, service, options) for service in services)),
    ]


def _require_image(config: AppConfig, options: Options) -> None:
    if options.image is not None:
        return
    names = [service.name for service in config.services if not service.image]
    if names or config.post_import:
        who = (
            f"services {', '.join(names)}" if names[1:] else f"service {names[0]}" if names else ""
        )
        raise ValueError(
            f"{who or 'post_import'} of {config.name} {'run' if names[1:] else 'runs'} the app's "
            "built image: name it with --image"
        )


def _image(service: Service, options: Options) -> str:
    return service.image or options.image or ""


def _addressed(config: AppConfig, service: Service) -> Service:
    """Return a service whose command names others by their addresses in the cluster."""
    if not service.command:
        return service
    names = [other.name for other in config.services]
    return replace(service, command=with_addresses(service.command, config.name, names))


def _environment(config: AppConfig, service: Service, options: Options) -> Environment:
    variables = {**config.environment(service), **options.environment}
    name = service_name(config.name, service.name)
    return Environment(config.name, service.name, name, _resolved(config, variables))


def _app_environment(config: AppConfig, options: Options) -> Environment:
    variables = {**{entry.key: entry.value for entry in config.env}, **options.environment}
    name = post_import.environment_name(config.name)
    return Environment(config.name, None, name, _resolved(config, variables))


def _resolved(config: AppConfig, variables: Mapping[str, str]) -> dict[str, str]:
    names = [service.name for service in config.services]
    return {key: with_addresses(text, config.name, names) for key, text in variables.items()}


def _jobs(config: AppConfig, environment: Environment, options: Options) -> Iterator[Manifest]:
    if config.post_import:
        image = options.image or ""
        yield post_import.job(config, config.post_import, image, environment, options)
