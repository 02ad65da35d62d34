"""A real Prometheus scrapes the real driver: every query that we ship finds what it is for."""

import re
import subprocess
from collections.abc import Iterator

import grpc
import pytest
from prometheus_client.parser import text_string_to_metric_families

from deploy.local_driver import LocalDriver
from tests.cluster.api_server import ApiServer, Cluster, driver_namespace
from tests.cluster.waiting import wait_until
from tests.life.app import Instance, Operator, refused
from tests.life.host import Host
from tests.life.test_operation import Http
from tests.monitoring import files
from tests.monitoring.files import Expression
from tests.monitoring.prometheus import Prometheus

DISK = 'pg "data" \\ größer'
"""A name with all that the text format has to escape."""

NOT_HERE = {
    "LVM commands, 99th percentile A": "the loop pool runs no LVM commands",
    "LVM commands A": "the same",
    "MirenLvmSlow": "the same",
    "MirenCsiAbsent": "nothing is absent",
    "MirenCsiCallsFailing": "no call has failed so",
    "MirenDiskFilesystemAlmostFull": "no kubelet is scraped",
}
"""Queries that rightly have no data here, by panel or alert."""


@pytest.fixture(scope="module")
def driver(
    tmp_path_factory: pytest.TempPathFactory, api_server: ApiServer
) -> Iterator[LocalDriver]:
    """A driver that leads in a cluster: a disk is held and waited for, another one is ill."""
    folder = tmp_path_factory.mktemp("monitoring")
    host = Host(folder)
    pool = folder / "pool"
    pool.mkdir()
    driver_namespace(api_server)
    apps = Cluster(api_server, "default")
    for pod in ("monitored-0", "monitored-1"):
        apps.pod(pod)
    options = ("--leases", "kubernetes", "--http-endpoint", "127.0.0.1:0")
    driver = LocalDriver(folder, f"loop:{pool}", options=options)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("KUBECONFIG", str(api_server.kubeconfig()))
        driver.start()
    try:
        operator = Operator(driver)
        operator.create(DISK)
        db = Instance(driver, folder, DISK, pod="monitored-0").deploy()
        db.write(b"x" * (4 << 20))
        operator.snapshot(DISK, "monday")
        with refused(grpc.StatusCode.ABORTED, "held by default/monitored-0"):
            Instance(driver, folder, DISK, pod="monitored-1").attach()
        operator.create("ill", filesystem="xfs")
        ill = Instance(driver, folder, "ill", pod="monitored-1", filesystem="xfs").deploy()
        subprocess.run(["xfs_io", "-x", "-c", "shutdown", ill.target], check=True)
        yield driver
        for instance in (db, ill):
            instance.stop()
    finally:
        driver.kill()
        print(driver.log.read_text()[-20_000:])
        host.clear()


@pytest.fixture(scope="module")
def prometheus(
    driver: LocalDriver, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Prometheus]:
    """Prometheus when it has seen the driver some times."""
    target = Http(driver).base.removeprefix("http://")
    with Prometheus(tmp_path_factory.mktemp("prometheus"), target, files.RULES) as prometheus:
        # Rates and forecasts need two samples; the leader is elected within seconds.
        seen = "count_over_time(miren_csi_leader[1m]) >= 3 and miren_csi_leader == 1"
        wait_until(lambda: prometheus.query(seen), "a leader was scraped thrice", within=30)
        yield prometheus


@pytest.mark.parametrize("expression", files.dashboard_expressions(), ids=lambda one: one.where)
def test_a_panel_shows_something(prometheus: Prometheus, expression: Expression) -> None:
    assert bool(prometheus.query(expression.text)) == (expression.where not in NOT_HERE)


@pytest.mark.parametrize("expression", files.alert_expressions(), ids=lambda one: one.where)
def test_an_alert_looks_at_something(prometheus: Prometheus, expression: Expression) -> None:
    prometheus.query(expression.text)
    whatever_it_is = re.sub(r" (==|>=|>|<) ", r" \1 bool ", expression.text)
    assert bool(prometheus.query(whatever_it_is)) == (expression.where not in NOT_HERE)


@pytest.mark.parametrize(
    "expression",
    [*files.dashboard_expressions(), *files.alert_expressions()],
    ids=lambda one: one.where,
)
def test_a_query_names_metrics_that_there_are(
    prometheus: Prometheus, expression: Expression
) -> None:
    exposed = prometheus.metrics()
    histograms = {name for name, (kind, _) in files.documented().items() if kind == "histogram"}
    series = {f"{name}_{end}" for name in histograms for end in ("bucket", "count", "sum")}
    assert expression.metrics()
    assert expression.metrics() <= (exposed - histograms) | series | files.ELSEWHERE


def test_prometheus_evaluates_all_rules_and_none_fires_at_once(
    prometheus: Prometheus,
) -> None:
    def all_evaluated() -> bool:
        return all(rule["health"] != "unknown" for rule in prometheus.rules())

    wait_until(all_evaluated, "all rules were evaluated", within=20)
    found = prometheus.rules()
    assert {rule["name"] for rule in found} == {rule["alert"] for rule in files.alerts()}
    assert [rule["name"] for rule in found if rule["health"] != "ok"] == []
    assert [rule["name"] for rule in found if rule["state"] == "firing"] == []


def test_a_disk_has_its_exact_name(prometheus: Prometheus, driver: LocalDriver) -> None:
    for metric in ("miren_csi_disk_used_bytes", "miren_csi_disk_size_bytes"):
        found = [one["metric"] for one in prometheus.query(metric)]
        assert {(one["node"], one["disk"]) for one in found} == {
            (driver.node_id, DISK),
            (driver.node_id, "ill"),
        }
    (wait,) = prometheus.query("miren_csi_lease_wait_seconds")
    assert wait["metric"]["disk"] == DISK
    assert 0 < float(wait["value"][1]) < 60


def test_what_is_wrong_with_a_disk_is_told(prometheus: Prometheus) -> None:
    (found,) = prometheus.query("miren_csi_disk_problem")
    told = {name: found["metric"][name] for name in ("disk", "kind", "reason")}
    assert told == {"disk": "ill", "kind": "INACCESSIBLE", "reason": "FilesystemShutDown"}


def test_the_document_lists_what_the_driver_tells(driver: LocalDriver) -> None:
    status, text = Http(driver).get("/metrics")
    assert status == 200
    families = {
        family.name: (family.type, {label for one in family.samples for label in one.labels})
        for family in text_string_to_metric_families(text)
        if family.name.startswith("miren_csi_")
    }
    documented = files.documented()
    assert documented.keys() == families.keys()
    for name, (kind, labels) in families.items():
        assert documented[name][0] == kind
        if labels:
            assert documented[name][1] == labels - {"le"}, name
