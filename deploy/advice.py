"""Warnings about what an app.toml says and Kubernetes does otherwise."""

from collections.abc import Mapping

from deploy.model import AppConfig, AutoConcurrency, Service
from deploy.positions import KeyPath
from deploy.problems import Findings
from deploy.workload import LONGEST_DELAY


def check(config: AppConfig, findings: Findings) -> None:
    """Warn of everything in an app that has another effect than in Miren, or none."""
    if config.concurrency is not None:
        instead = "write requests_per_instance in [services.NAME.concurrency]"
        findings.warn(("concurrency",), "is Miren's older form and has no effect", instead)
    for service in config.services:
        path = ("services", service.name)
        _check_delay(service, path, findings)
        _check_port(config, service, path, findings)


def check_given(config: AppConfig, environment: Mapping[str, str], findings: Findings) -> None:
    """Warn of such variables that app.toml does not have."""
    said = environment.get("PORT")
    for service in config.services:
        if said is not None and service.port is not None and said != str(service.port):
            _warn_of_port(service, ("PORT",), findings)


def _check_delay(service: Service, path: KeyPath, findings: Findings) -> None:
    scaling = service.concurrency
    if isinstance(scaling, AutoConcurrency) and scaling.scale_down_delay > LONGEST_DELAY:
        what = "is longer than an hour, the longest that Kubernetes waits before it scales down"
        place = (*path, "concurrency", "scale_down_delay")
        findings.warn(place, what, 'write scale_down_delay = "1h"')


def _check_port(config: AppConfig, service: Service, path: KeyPath, findings: Findings) -> None:
    said = config.environment(service).get("PORT")
    if service.port is None or said is None or said == str(service.port):
        return
    for place, entries in ((path, service.env), ((), config.env)):
        index = next((at for at, entry in enumerate(entries) if entry.key == "PORT"), None)
        if index is not None:
            _warn_of_port(service, (*place, "env", index), findings)
            return


def _warn_of_port(service: Service, place: KeyPath, findings: Findings) -> None:
    what = (
        f"gives {service.name} another PORT than its port, {service.port}, where it is looked for"
    )
    findings.warn(place, what, "remove it: PORT is set from the port")
