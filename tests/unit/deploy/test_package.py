"""What `import deploy` offers, and what programs leave unloaded that they do not need."""

import subprocess
import sys

import pytest

import deploy
from deploy import api


@pytest.mark.parametrize("name", api.__all__)
def test_each_public_name_is_there(name: str) -> None:
    assert getattr(deploy, name) is getattr(api, name)


def test_all_of_them_can_be_imported_at_once() -> None:
    script = "from deploy import *; print(translate.__module__)"
    assert subprocess.check_output([sys.executable, "-c", script], text=True) == (
        "deploy.translation\n"
    )


def test_a_name_that_is_not_there_is_told() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'translat'"):
        deploy.translat  # type: ignore[attr-defined]  # noqa: B018


@pytest.mark.parametrize(
    ("started", "not_needed"),
    [
        ("csi.main", "google.protobuf.json_format"),
        ("deploy.mover.main", "deploy.model"),
        ("deploy.mover.main", "yaml"),
        ("deploy.operate.disk_command", "google.protobuf"),
        ("deploy.operate.disk_command", "kubernetes"),
        ("deploy.operate.driver", "grpc"),
    ],
)
def test_what_is_not_needed_is_not_waited_for(started: str, not_needed: str) -> None:
    script = f"import sys, {started}; print({not_needed!r} in sys.modules)"
    loaded = subprocess.check_output([sys.executable, "-c", script], text=True)
    assert loaded == "False\n"
