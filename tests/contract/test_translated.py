"""A real API server takes every manifest that an app.toml becomes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings

from deploy import Manifest, parse
from tests.cluster.api_server import ApiServer
from tests.contract.kubernetes_openapi import KubernetesOpenApi
from tests.translated import manifests
from tests.unit.deploy import any_app

pytestmark = pytest.mark.loop_only  # no pool is in it: once is enough

DEPLOY = Path(__file__).parents[1] / "unit" / "deploy"
EXPECTED = sorted([*DEPLOY.glob("golden/*.yaml"), *DEPLOY.glob("apps/*/expected.yaml")])


@pytest.fixture(scope="module")
def kubernetes(api_server: ApiServer) -> KubernetesOpenApi:
    """A real API server and what it says of its objects."""
    return KubernetesOpenApi(api_server)


def written() -> Iterator[Any]:
    """Every manifest that the translator's tests expect."""
    for path in EXPECTED:
        for manifest in yaml.safe_load_all(path.read_text()):
            name = f"{manifest['kind']} {manifest['metadata']['name']}"
            yield pytest.param(manifest, id=f"{path.relative_to(DEPLOY)} {name}")


def test_there_are_manifests_to_take() -> None:
    assert EXPECTED


@pytest.mark.parametrize("manifest", list(written()))
def test_what_the_translators_tests_expect_is_taken(
    kubernetes: KubernetesOpenApi, manifest: Manifest
) -> None:
    kubernetes.make_namespace(manifest["metadata"].get("namespace", "default"))
    assert kubernetes.mistakes(manifest) == []
    assert kubernetes.refusal(manifest) == ""


ON_A_SERVER = settings(
    # A session's server, and documents of megabytes, are no reason to complain.
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@settings(ON_A_SERVER, max_examples=30)
@given(any_app.right_apps())
def test_any_app_has_the_form_that_the_server_tells(
    kubernetes: KubernetesOpenApi, app: any_app.Table
) -> None:
    for manifest in manifests(parse(any_app.as_toml(app))):
        assert kubernetes.mistakes(manifest) == []


@settings(ON_A_SERVER, max_examples=15)
@given(any_app.right_apps())
def test_any_app_is_taken(kubernetes: KubernetesOpenApi, app: any_app.Table) -> None:
    kubernetes.make_namespace("default")
    for manifest in manifests(parse(any_app.as_toml(app))):
        assert kubernetes.refusal(manifest) == ""


CLAIM: Manifest = {
    "apiVersion": "v1",
    "kind": "PersistentVolumeClaim",
    "metadata": {"name": "data", "namespace": "default"},
    "spec": {
        "accessModes": ["ReadWriteOncePod"],
        "resources": {"requests": {"storage": "1Gi"}},
    },
}


@pytest.mark.parametrize(
    ("spec", "path"),
    [
        ({"storageClas": "miren-disk"}, "$.spec: "),
        ({"volumeName": 5}, "$.spec.volumeName: "),
        ({"accessModes": "ReadWriteOnce"}, "$.spec.accessModes: "),
        ({"resources": {"requests": {"storage": []}}}, "$.spec.resources.requests.storage: "),
    ],
    ids=["a field that is none", "a number", "a text for a list", "a list for a size"],
)
def test_form_and_server_would_refuse_a_wrong_one(
    kubernetes: KubernetesOpenApi, spec: dict[str, object], path: str
) -> None:
    kubernetes.make_namespace("default")
    assert kubernetes.mistakes(CLAIM) == []
    assert kubernetes.refusal(CLAIM) == ""

    wrong = {**CLAIM, "spec": {**CLAIM["spec"], **spec}}

    assert [mistake for mistake in kubernetes.mistakes(wrong) if mistake.startswith(path)]
    assert kubernetes.refusal(wrong)
