"""A real API server takes every manifest that an app.toml becomes."""

import copy
from collections.abc import Iterable, Iterator
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

Place = tuple[str | int, ...]

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


# How many instances there are: an autoscaler of earlier may have left another number. By what load
# an app is scaled, and that no disk goes with its volume: that is the translator's promise.
SAID_ANYHOW = {
    ("Deployment", "spec.replicas"),
    ("HorizontalPodAutoscaler", "spec.metrics"),
    ("HorizontalPodAutoscaler", "spec.metrics.*"),
    ("PersistentVolume", "spec.persistentVolumeReclaimPolicy"),
}
# Without these the server is not asked for the same object.
IDENTITY = {"apiVersion", "kind", "metadata", "metadata.name", "metadata.namespace"}


def test_no_field_only_repeats_a_default(kubernetes: KubernetesOpenApi) -> None:
    repeated = set()
    for manifest, places in _fields():
        kubernetes.make_namespace(manifest["metadata"].get("namespace", "default"))
        whole = kubernetes.completed(manifest)
        repeated |= {
            (manifest["kind"], _path(place))
            for place in places
            if kubernetes.completed(_without(manifest, place)) == whole
        }
    assert repeated == SAID_ANYHOW


def _fields() -> Iterator[tuple[Manifest, list[Place]]]:
    """Yield all fields of the expected manifests, those of one value once."""
    asked = set()
    for path in EXPECTED:
        for manifest in yaml.safe_load_all(path.read_text()):
            places = []
            for place, value in _parts(manifest):
                what = (manifest["kind"], _path(place), repr(value))
                if what not in asked and _path(place) not in IDENTITY:
                    asked.add(what)
                    places.append(place)
            yield manifest, places


def _parts(value: object, place: Place = ()) -> Iterator[tuple[Place, object]]:
    entries: Iterable[tuple[str | int, object]] = ()
    if isinstance(value, dict):
        entries = value.items()
    elif isinstance(value, list):
        entries = enumerate(value)
    for key, part in entries:
        yield (*place, key), part
        yield from _parts(part, (*place, key))


def _path(place: Place) -> str:
    return ".".join("*" if isinstance(step, int) else step for step in place)


def _without(manifest: Manifest, place: Place) -> Manifest:
    less = copy.deepcopy(manifest)
    part: Any = less
    for step in place[:-1]:
        part = part[step]
    del part[place[-1]]
    return less


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
