"""Golden apps deployed side by side, with one image that stands in for all of theirs."""

import json
import re
import shutil
import subprocess
import threading
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from csi import local_id
from tests.cluster import images
from tests.cluster.apps import Apps, new_namespace
from tests.cluster.cluster import Cluster
from tests.cluster.golden import GoldenApp
from tests.cluster.node import Node

SALES = "year,sold\n2025,17\n"
"""What an earlier app has left on the disk that the app `read-only-disk` reads."""

# What the apps' commands call, and read.
_PROGRAMS = (
    *("/app/api", "/app/worker", "/bin/bundle", "/bin/celery", "/bin/cron", "/bin/guestbook"),
    *("/bin/gunicorn", "/bin/mailer", "/bin/migrate", "/bin/node", "/bin/odd", "/bin/python"),
    *("/bin/rails", "/bin/redis-server", "/bin/seed", "/bin/uvicorn", "/bin/web", "/bin/worker"),
)
_TEXTS = {"/seed.txt": "apples pears\n"}
# Each is a Python process on this machine, and several pods that start on the node's one CPU.
_AT_ONCE = 4
# With more, the CPU that autoscaled services ask for would not do.
_MOST = 6


@dataclass(frozen=True, slots=True)
class Deployed:
    """An app after its deployment."""

    app: GoldenApp
    done: "subprocess.CompletedProcess[str]"
    """How `kubectl miren deploy` has ended."""


@dataclass(frozen=True, slots=True)
class Undeployed:
    """An app that was taken away."""

    app: GoldenApp
    had: Mapping[str, tuple[str, str]]
    """Its volumes before."""
    done: "subprocess.CompletedProcess[str]"
    """How `kubectl miren undeploy` has ended."""


class Fleet:
    """Apps by their names, deployed a few at once. Who has seen enough of one undeploys it."""

    def __init__(self, apps: Mapping[str, GoldenApp], workers: ThreadPoolExecutor) -> None:
        self._apps = apps
        self._workers = workers
        self._room = threading.Semaphore(_MOST)
        self._begun = {name: workers.submit(self._deploy, app) for name, app in apps.items()}

    def deployed(self, name: str) -> Deployed:
        """Wait until the app is deployed."""
        return self._begun[name].result()

    def undeployed(self, name: str) -> Undeployed:
        """Undeploy the app, and let another one have its room."""
        try:
            return _undeploy(self._apps[name])
        finally:
            self._room.release()

    def _deploy(self, app: GoldenApp) -> Deployed:
        self._room.acquire()
        return _deploy(app)

    def close(self) -> None:
        """Take all apps away, and their disks."""
        for deploying in self._begun.values():
            deploying.cancel()
        for _ in self._begun:
            self._room.release()
        list(self._workers.map(_remove, self._apps.values()))


@contextmanager
def side_by_side(
    kubernetes: Cluster, node: Node, folders: Iterable[Path], workplace: Path
) -> Iterator[Fleet]:
    """Begin to deploy the apps in these folders, each in a namespace of its own.

    Args: node: where they run; workplace: an empty folder.
    """
    copies = [_copied(folder, workplace / folder.name) for folder in folders]
    with ExitStack() as stack, ThreadPoolExecutor(_AT_ONCE) as workers:
        apps = {copy.name: _app(kubernetes, stack, copy) for copy in copies}
        _load_image(kubernetes, node, apps.values())
        fleet = Fleet(apps, workers)
        try:
            yield fleet
        finally:
            fleet.close()


def _copied(folder: Path, to: Path) -> Path:
    """Return a copy of an app whose disks have room in the node's pool of 16 GiB."""
    shutil.copytree(folder, to)
    app_toml = to / ".miren" / "app.toml"
    text = app_toml.read_text(encoding="utf-8")
    app_toml.write_text(re.sub(r"(?m)^size_gb = .*", "size_gb = 1", text), encoding="utf-8")
    return to


def _app(kubernetes: Cluster, stack: ExitStack, folder: Path) -> GoldenApp:
    namespace = stack.enter_context(new_namespace(kubernetes))
    return GoldenApp(kubernetes, Apps(kubernetes, namespace), folder)


def _load_image(kubernetes: Cluster, node: Node, apps: Iterable[GoldenApp]) -> None:
    kubernetes.load(images.stand_in(_PROGRAMS, _TEXTS))
    named = {name for app in apps for name in app.images()}
    full = sorted(name if "/" in name else f"docker.io/library/{name}" for name in named)
    tag = "ctr --namespace k8s.io images tag --force"
    node.run("\n".join(["set -e", *(f"{tag} {images.STAND_IN} {name}" for name in full)]))


def _deploy(app: GoldenApp) -> Deployed:
    if app.folder.name == "read-only-disk":
        _leave_sales(app)
    return Deployed(app, app.deploy())


def _undeploy(app: GoldenApp) -> Undeployed:
    had = app.volumes()
    return Undeployed(app, had, app.undeploy())


def _leave_sales(heir: GoldenApp) -> None:
    """Let another app make the disk, fill it, and go."""
    (disk,) = heir.config.disks
    folder = heir.folder.with_name("sales")
    (folder / ".miren").mkdir(parents=True)
    (folder / ".miren" / "app.toml").write_text(
        f"""
        name = "sales"
        [services.export]
        image = "{images.STAND_IN}"
        [[services.export.disks]]
        name = "{disk.name}"
        mount_path = "/out"
        size_gb = 1
        """
    )
    sales = heir.neighbour(folder)
    done = sales.deploy()
    assert done.returncode == 0, done.stderr
    (pod,) = sales.pods(sales.config.services[0])
    sales.apps.run(pod, f"printf '{SALES}' >/out/sales.csv; sync")
    done = sales.undeploy()
    assert done.returncode == 0, done.stderr


def _remove(app: GoldenApp) -> None:
    """Take an app away, if it is there, and then its disks, which no deployment deletes."""
    if app.left():
        app.undeploy()
    for handle, (volume, _) in app.volumes().items():
        if not local_id.is_local(handle):
            # Kubernetes has the driver delete what is released and not to be retained.
            gone = {"namespace": app.apps.namespace, "name": volume, "uid": "gone"}
            spec = {"persistentVolumeReclaimPolicy": "Delete", "claimRef": gone}
            app.apps.kubectl(
                "patch", "pv", volume, "--type=merge", "-p", json.dumps({"spec": spec})
            )
            app.apps.wait(f"pv/{volume}", "delete")
        else:
            app.apps.delete("pv", volume)
