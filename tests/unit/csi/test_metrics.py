"""What Prometheus reads about calls and LVM commands."""

from prometheus_client.parser import text_string_to_metric_families

from csi.metrics import Metrics


def samples(metrics: Metrics) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    families = text_string_to_metric_families(metrics.page().text)
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


def labels(**values: str) -> frozenset[tuple[str, str]]:
    return frozenset(values.items())


def test_calls_are_counted_by_method_and_code() -> None:
    metrics = Metrics()
    metrics.observe_call("CreateVolume", "OK", 0.02)
    metrics.observe_call("CreateVolume", "OK", 0.04)
    metrics.observe_call("CreateVolume", "ABORTED", 0.001)

    found = samples(metrics)
    name, created = "miren_csi_call_duration_seconds", {"method": "CreateVolume"}
    assert found[f"{name}_count", labels(**created, code="OK")] == 2
    assert found[f"{name}_sum", labels(**created, code="OK")] == 0.06
    assert found[f"{name}_bucket", labels(**created, code="OK", le="0.025")] == 1
    assert found[f"{name}_bucket", labels(**created, code="OK", le="0.05")] == 2
    assert found[f"{name}_count", labels(**created, code="ABORTED")] == 1


def test_lvm_commands_are_counted_by_name() -> None:
    metrics = Metrics()
    metrics.observe_command("lvcreate", 0.03)

    name = "miren_csi_lvm_command_duration_seconds"
    assert samples(metrics)[f"{name}_count", labels(command="lvcreate")] == 1


def test_the_process_is_told_of_and_nothing_is_shared_with_another_registry() -> None:
    first, second = Metrics(), Metrics()
    first.observe_call("Probe", "OK", 0.01)

    assert samples(second)["process_resident_memory_bytes", labels()] > 1 << 20
    assert not any("call_duration" in name for name, _ in samples(second))
    assert not any(name.endswith("_created") for name, _ in samples(first))


def test_the_text_says_what_it_is() -> None:
    page = Metrics().page()
    assert page.kind == "text/plain; version=0.0.4; charset=utf-8"
    assert page.text.endswith("\n")
