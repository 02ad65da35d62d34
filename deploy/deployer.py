"""Brings an app to a cluster, up to the moment when all of it runs."""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from csi.kubernetes_api import Object
from deploy.app_cluster import AppCluster
from deploy.deploy_failed import DeployFailed
from deploy.deployment_plan import Plan, addressed_services, plan
from deploy.difference import difference
from deploy.live_view import LiveView
from deploy.model import AppConfig, Service
from deploy.options import Options
from deploy.patience import Patience
from deploy.rollout import Progress, job_progress, progress
from deploy.service_names import service_name

_LOOK_EVERY = 1.0
_STEADY = 10.0
"""Seconds that an instance which was started again has to run before it counts as ready."""
_OTHERS_WITHIN = 180.0
"""Seconds that a post_import command waits for services that it may need, but need not."""
_BEFORE_SERVICES = ("Secret", "Service")


class Deployer:
    """Deploys one app. All verbs raise Unavailable and Refused, a sentence each."""

    def __init__(self, cluster: AppCluster, view: LiveView) -> None:
        """Args: cluster: where to; view: shows what happens."""
        self._cluster = cluster
        self._view = view
        self.seen: Sequence[Progress] = ()
        """How far each service was when `deploy` looked last; nothing before it does."""
        self._logs: dict[str, Sequence[str]] = {}

    def deploy(self, config: AppConfig, options: Options, within: float) -> None:
        """Apply an app, remove what it does not have any more, wait until it runs.

        Raises:
            DeployFailed: it does not, or not in `within` seconds.
        """
        chosen = plan(self._cluster, config, options)
        deadline = time.monotonic() + within
        self._apply(chosen.disks)
        self._apply(one for one in chosen.services if one["kind"] in _BEFORE_SERVICES)
        services = addressed_services(self._cluster, config, options)
        for job in _of_kind(services, "Job"):
            self._import(job, config, services, deadline)
        self._apply(_of_kind(services, "Deployment"))
        self._apply(_of_kind(services, "HorizontalPodAutoscaler"))
        # What runs may have a disk that another service waits for. What it needs goes last: old
        # instances of services that stay may need it until new ones are there.
        self._remove(one for one in chosen.obsolete if one["kind"] not in _BEFORE_SERVICES)
        self._wait(config.name, config.services, deadline)
        self._remove(one for one in chosen.obsolete if one["kind"] in _BEFORE_SERVICES)
        self._say_kept(chosen)

    def differences(self, config: AppConfig, options: Options) -> Iterator[str]:
        """Yield what `deploy` would change, as lines of a diff; changes nothing."""
        chosen = plan(self._cluster, config, options)
        services = addressed_services(self._cluster, config, options)
        for manifest in (*chosen.disks, *services):
            live = self._cluster.live(manifest)
            if manifest["kind"] == "Job" and live:
                continue  # it has run, and never changes
            after = self._cluster.apply(manifest, dry_run=True)
            yield from difference({"kind": manifest["kind"], **live} if live else None, after)
        for found in chosen.obsolete:
            yield from difference(found, None)

    def _apply(self, manifests: Iterable[Object]) -> None:
        for manifest in manifests:
            self._cluster.apply(manifest)

    def _remove(self, obsolete: Iterable[Object]) -> None:
        for found in obsolete:
            self._cluster.remove(found)
            self._view.say(f"removed {found['kind']} {found['metadata']['name']}")

    def _import(
        self, job: Object, config: AppConfig, services: Sequence[Object], deadline: float
    ) -> None:
        """Run the Job of post_import, after what it may need; raises DeployFailed."""
        missing = ""
        if self._cluster.live(job) is None:
            try:
                self._start_others(config, services, deadline)
            except DeployFailed as failed:
                # It may itself wait for a service that comes after the import, which needs it not.
                missing = f"\n{failed}"
        try:
            self._run_once(job, deadline)
        except DeployFailed as failed:
            raise DeployFailed(f"{failed}{missing}") from None

    def _start_others(self, config: AppConfig, services: Sequence[Object], deadline: float) -> None:
        """Start the services with images of their own, such as a database, and wait for them."""
        others = [service for service in config.services if service.image]
        names = {service_name(config.name, service.name) for service in others}
        deployments = _of_kind(services, "Deployment")
        self._apply(one for one in deployments if one["metadata"]["name"] in names)
        self._wait(config.name, others, min(deadline, time.monotonic() + _OTHERS_WITHIN))

    def _run_once(self, job: Object, deadline: float) -> None:
        """Run a Job, unless one of that name has run; raises DeployFailed when it fails."""
        if self._cluster.live(job) is None:
            self._cluster.apply(job)
        while True:
            live = self._cluster.live(job)
            if live is None:
                raise DeployFailed("the post_import Job was deleted while it ran")
            found = job_progress(self._cluster, live)
            self._view.show({"post_import": found.doing})
            if found.is_ready:
                return
            if found.failure:
                # The next deployment of the same image runs it again.
                self._cluster.remove({"kind": "Job", **live})
            self._check([found], [], deadline)
            time.sleep(_LOOK_EVERY)

    def _wait(self, app: str, services: Sequence[Service], deadline: float) -> None:
        steady, patience = _Steady(), Patience()
        while True:
            self.seen = found = [*self._progress(app, services)]
            patience.look(found)
            self._view.show({one.service: _doing(one, patience.waits_for(one)) for one in found})
            if all(one.is_ready and steady.is_so(one) for one in found):
                return
            self._check(found, patience.given_up(), deadline)
            time.sleep(_LOOK_EVERY)

    def _progress(self, app: str, services: Sequence[Service]) -> Iterator[Progress]:
        for service in services:
            name = service_name(app, service.name)
            live = self._cluster.get("Deployment", name)
            if live is None:
                raise DeployFailed(f"{service.name}: its Deployment {name} was deleted meanwhile")
            found = progress(self._cluster, app, service.name, live)
            # A container that starts again just now has none.
            self._logs[service.name] = log = found.log or self._logs.get(service.name, ())
            yield found if found.is_ready else replace(found, log=log)

    def _check(
        self, found: Sequence[Progress], given_up: Sequence[Progress], deadline: float
    ) -> None:
        """Raise DeployFailed, which tells of every service that does not run."""
        failed = [_told(one, one.failure) for one in found if one.failure]
        failed = failed or [_told(one, one.ended) for one in given_up]
        if not failed and time.monotonic() > deadline:
            late = [one for one in found if not one.is_ready] or found
            failed = [_told(one, f"not ready in time: {one.doing}") for one in late]
        if failed:
            raise DeployFailed("\n".join(failed))

    def _say_kept(self, chosen: Plan) -> None:
        for claim in chosen.kept:
            name = claim["metadata"]["name"]
            self._view.say(
                f"disk {name} is not in app.toml any more; it is kept, and so is its claim"
            )


class _Steady:
    """Whether what has crashed before runs for a while: its node sees it end late if it is slow."""

    def __init__(self) -> None:
        self._since: dict[tuple[str, Sequence[int]], float] = {}

    def is_so(self, found: Progress) -> bool:
        """Tell it of a service that is ready now."""
        since = self._since.setdefault((found.service, found.restarts), time.monotonic())
        return not any(found.restarts) or time.monotonic() - since >= _STEADY


def _of_kind(manifests: Sequence[Object], kind: str) -> Iterator[Object]:
    return (manifest for manifest in manifests if manifest["kind"] == kind)


def _doing(found: Progress, waits_for: Sequence[str]) -> str:
    if not waits_for:
        return found.doing
    return f"{found.doing}; it may wait for {' and '.join(waits_for)}"


def _told(found: Progress, why: str) -> str:
    lines = [f"{found.service} does not run: {why}"]
    if found.log:
        lines += ["its last lines:", *(f"  {line}" for line in found.log)]
    return "\n".join(lines)
