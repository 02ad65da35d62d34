"""`kubectl miren deploy` as a developer uses it, from app.toml to a running app and back."""

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.apps import Apps, new_namespace
from tests.cluster.cluster import Cluster
from tests.cluster.developer import Developer
from tests.cluster.driver import Driver
from tests.cluster.waiting import wait_until

SLEEP = "trap exit TERM; sleep 1000000 & wait"
WEB = "nc -ll -p $PORT -e cat"


@pytest.fixture
def developer(kubernetes: Cluster, apps: Apps, tmp_path: Path, driver: Driver) -> Developer:  # noqa: ARG001
    return Developer(kubernetes, apps, tmp_path)


def service(name: str, command: str, *more: str) -> list[str]:
    return [f"[services.{name}]", f"command = '{command}'", *more]


def disk(service: str, name: str, *more: str) -> list[str]:
    return [f"[[services.{service}.disks]]", f'name = "{name}"', 'mount_path = "/data"', *more]


def test_data_survive_deployments_and_the_end_of_the_app(developer: Developer) -> None:
    app = developer.app
    database = [*service("db", SLEEP), *disk("db", app, "size_gb = 1")]
    developer.writes(*database, *service("web", WEB))

    done = developer.deploys()

    assert done.stdout == (
        f"{app} runs in namespace {developer.apps.namespace}:\n"
        f"  db   {app}-db.{developer.apps.namespace}.svc\n"
        f"  web  {app}-web.{developer.apps.namespace}.svc:3000\n"
    )
    developer.in_pod("db", "echo monday >/data/log; sync")

    # Other settings of the disk change nothing of it; another command starts a new instance.
    again = [*service("db", f"true; {SLEEP}"), *disk("db", app, "size_gb = 2", "read_only = false")]
    developer.writes(*again, *service("web", WEB))
    developer.deploys()
    assert developer.in_pod("db", "cat /data/log; echo tuesday >>/data/log; sync") == "monday\n"
    assert developer.apps.volume_of(app)["spec"]["capacity"]["storage"] in {"1Gi", str(1 << 30)}

    done = developer.runs("undeploy", app)
    assert done.returncode == 0, done.stderr
    assert f"kept: disk {app} (PersistentVolume {app}, " in done.stdout
    for kind in ("deployments", "services", "secrets", "pods", "pvc"):
        assert developer.names(kind) == set()

    developer.writes(*database)
    developer.deploys()
    assert developer.in_pod("db", "cat /data/log") == "monday\ntuesday\n"


def test_what_app_toml_does_not_have_any_more_is_removed_except_disks(developer: Developer) -> None:
    app = developer.app
    worker = [*service("worker", SLEEP), *disk("worker", app, "size_gb = 1")]
    developer.writes(*service("web", WEB), *worker, "[[env]]", 'key = "A"', 'value = "1"')
    developer.deploys()
    assert (
        developer.names("deployments")
        == developer.names("secrets")
        == {f"{app}-web", f"{app}-worker"}
    )
    assert developer.names("hpa") == {f"{app}-web"}

    developer.writes(*service("web", WEB, 'concurrency = { mode = "fixed", num_instances = 2 }'))
    done = developer.deploys()

    assert f"removed Deployment {app}-worker" in done.stderr
    assert f"disk {app} is not in app.toml any more; it is kept" in done.stderr
    assert developer.names("deployments") == developer.names("services") == {f"{app}-web"}
    assert developer.names("secrets") == developer.names("hpa") == set()
    assert developer.names("pvc") == {app}
    assert developer.apps.get("pv", app)["spec"]["csi"]["volumeHandle"] == app


def test_a_name_wired_into_the_image_is_found_too(developer: Developer) -> None:
    developer.writes(*service("web", WEB), *service("worker", SLEEP))
    developer.deploys()

    address = developer.apps.get("service", f"{developer.app}-web")["spec"]["clusterIP"]
    assert developer.in_pod("worker", "grep -w web.app.miren /etc/hosts").split()[0] == address


def test_a_dry_run_shows_what_would_change_and_changes_nothing(developer: Developer) -> None:
    password = ["[[env]]", 'key = "PASSWORD"', 'value = "hunter2"']
    developer.writes(*service("web", WEB), *password)
    first = developer.deploys("--dry-run")
    assert f"+  name: {developer.app}-web" in first.stdout
    assert developer.names("deployments") == set()

    developer.deploys()
    assert developer.deploys("--dry-run").stdout == f"{developer.app} is up to date\n"

    developer.writes(*service("web", f"true; {WEB}"), *password[:2], 'value = "hunter3"')
    change = developer.deploys("--dry-run").stdout
    assert f"+        - true; {WEB}" in change
    for value in ("hunter2", "hunter3"):
        assert value not in change
        assert base64.b64encode(value.encode()).decode() not in change


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["command = 'echo no such table; exit 3'"], ["status 3", "  no such table"]),
        (["image = 'nowhere.example/none:1'"], ["nowhere.example/none:1 cannot be pulled"]),
    ],
    ids=["crashes", "no-image"],
)
def test_a_failed_deployment_says_which_service_and_why(
    developer: Developer, lines: list[str], said: list[str]
) -> None:
    developer.writes(*service("web", WEB), "[services.db]", *lines)

    told = developer.fails()

    assert "kubectl-miren: db does not run: " in told
    for part in said:
        assert part in told


def test_post_import_runs_once_for_an_image_and_before_its_services(developer: Developer) -> None:
    local = ["[[services.web.disks]]", 'name = "files"', 'provider = "local"', 'mount_path = "/f"']
    migrate = "echo $GREETING >>/f/log"
    env = ["[[env]]", 'key = "GREETING"', "value = '$(id) hello'"]
    developer.writes(f"post_import = '{migrate}'", *service("web", WEB), *local, *env)

    developer.deploys()
    developer.deploys()
    assert developer.in_pod("web", "cat /f/log") == "$(id) hello\n"

    developer.writes(
        "post_import = 'echo cannot migrate; exit 1'", *service("web", "false"), *local
    )
    told = developer.fails()
    assert "post_import does not run: the command has failed" in told
    assert "  cannot migrate" in told
    assert developer.in_pod("web", "cat /f/log") == "$(id) hello\n"  # the old one still runs


def test_a_disk_that_another_namespace_claims_is_told_at_once(
    developer: Developer, kubernetes: Cluster, other_namespace: str, tmp_path: Path
) -> None:
    app = developer.app
    developer.writes(*service("db", SLEEP), *disk("db", app, "size_gb = 1"))
    developer.deploys()

    elsewhere = Developer(kubernetes, Apps(kubernetes, other_namespace), tmp_path / "elsewhere")
    elsewhere.app = app
    elsewhere.writes(*service("db", SLEEP), *disk("db", app, "size_gb = 1"))
    told = elsewhere.fails()

    mine = f"{developer.apps.namespace}/{app}"
    assert f'disk "{app}" is claimed by {mine}; delete that claim first' in told
    assert elsewhere.names("deployments") == set()


def _folder(developer: Developer) -> Path:
    folder = developer.file.parents[1] / "elsewhere"
    folder.mkdir()
    return folder


@pytest.fixture
def other_namespace(kubernetes: Cluster) -> Iterator[str]:
    with new_namespace(kubernetes) as name:
        yield name


def test_a_deployment_that_waits_for_a_disk_says_who_has_it(developer: Developer) -> None:
    app = developer.app
    database = [*service("db", SLEEP), *disk("db", app, "size_gb = 1")]
    developer.writes(*database)
    developer.deploys()
    # Somebody takes the disk while the app is away.
    developer.apps.kubectl("scale", f"deployment/{app}-db", "--replicas=0")
    wait_until(lambda: not developer.names("pods"), "the app is away", within=30)
    developer.apps.start("thief", {"/data": app})

    told = developer.fails("--timeout", "20")

    assert "db does not run: not ready in time: " in told
    assert "ReadWriteOncePod" in told or f"{developer.apps.namespace}/thief" in told
