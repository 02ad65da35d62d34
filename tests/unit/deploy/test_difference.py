"""What a dry run prints: what differs, without what only the cluster knows, without secrets."""

from typing import Any

from deploy.difference import difference


def secret(value: str, **metadata: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "shop-web", **metadata},
        "data": {"PASSWORD": value},
    }


def test_what_only_the_cluster_knows_is_no_difference() -> None:
    live = secret("eA==", uid="1", resourceVersion="7", managedFields=[{}], generation=3)
    live["status"] = {"phase": "x"}

    assert [*difference(live, secret("eA=="))] == []


def test_a_value_of_a_secret_shows_that_it_differs_and_nothing_else() -> None:
    lines = [*difference(secret("aHVudGVyMg=="), secret("aHVudGVyMw=="))]

    changed = [line for line in lines if line.startswith(("+ ", "- "))]
    assert [line.split(":")[0] for line in changed] == ["-  PASSWORD", "+  PASSWORD"]
    assert len(set(changed)) == 2
    assert "aHVudGVy" not in "".join(lines)


def test_new_and_removed_objects_are_shown_whole() -> None:
    lines = [*difference(None, secret("eA=="))]
    assert {line[0] for line in lines[3:]} == {"+"}
    assert "+  name: shop-web" in lines
    lines = [*difference(secret("eA=="), None)]
    assert lines[:2] == ["--- Secret shop-web", "+++ (removed)"]
    assert {line[0] for line in lines[3:]} == {"-"}
