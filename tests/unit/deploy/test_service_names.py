"""Names of services in Kubernetes: what a Service allows, and never the same for two services."""

import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from deploy import parse, translate
from deploy.options import Options
from deploy.service_names import service_name

SERVICE_NAME = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")


@pytest.mark.parametrize(("app", "service"), [("shop", "web"), ("my-shop-2", "db"), ("a", "0")])
def test_an_ordinary_name_is_plain(app: str, service: str) -> None:
    assert service_name(app, service) == f"{app}-{service}"


@pytest.mark.parametrize(
    ("app", "service", "readable"),
    [
        ("Shop", "web", "shop-web"),
        ("shop", "Web", "shop-web"),
        ("shop", "job-runner", "shop-job-runner"),
        ("7up", "web", "app-7up-web"),
        ("shop", "0123abcd", "shop-0123abcd"),
        ("s" * 63, "web", "s" * 54),
    ],
)
def test_another_name_has_a_hash(app: str, service: str, readable: str) -> None:
    assert re.fullmatch(rf"{readable}-[0-9a-f]{{8}}", service_name(app, service))


NAMES = st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?", fullmatch=True)
PLAIN = st.text("ab0", min_size=1, max_size=3)
PAIRS = st.tuples(NAMES, NAMES) | st.tuples(PLAIN, PLAIN)


def confusable(pair: tuple[str, str]) -> st.SearchStrategy[tuple[str, str]]:
    """Pairs whose names would be near this one's if they were only joined, folded or hashed."""
    app, service = pair
    joined = f"{app}-{service}".split("-")
    splits = [("-".join(joined[:at]), "-".join(joined[at:])) for at in range(1, len(joined))]
    hashed = service_name(app, service)
    front, _, digits = hashed.rpartition("-")
    others = [
        (app.upper(), service),
        (app, service.upper()),
        (app.lower(), service.lower()),
        (f"app-{app}", service),
        (front, digits),
        (hashed.partition("-")[0], hashed.partition("-")[2]),
    ]
    return st.sampled_from([*splits, *others])


@settings(max_examples=500)
@example(pairs=(("a-b", "c"), ("a", "b-c")))
@example(pairs=(("app-1", "b"), ("1", "b")))
@given(PAIRS.flatmap(lambda pair: st.tuples(st.just(pair), confusable(pair) | PAIRS)))
def test_two_services_never_share_a_name(
    pairs: tuple[tuple[str, str], tuple[str, str]],
) -> None:
    one, other = pairs
    assert (service_name(*one) == service_name(*other)) == (one == other)


@given(PAIRS)
def test_every_name_may_be_a_services(pair: tuple[str, str]) -> None:
    assert SERVICE_NAME.fullmatch(service_name(*pair))
    assert service_name(*pair) == service_name(*pair)


def test_all_objects_of_a_service_are_called_the_same() -> None:
    app = parse('name = "Shop"\n[services.Web.concurrency]\nmode = "auto"\n[[env]]\nkey = "A"')
    made = translate(app, Options(image="shop:1"))
    assert {one["kind"] for one in made} == {
        "Secret",
        "Service",
        "Deployment",
        "HorizontalPodAutoscaler",
    }
    assert {one["metadata"]["name"] for one in made} == {service_name("Shop", "Web")}
