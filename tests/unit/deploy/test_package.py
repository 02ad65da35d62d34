"""What `import deploy` offers, and what it leaves for later."""

import subprocess
import sys

import pytest

import deploy


@pytest.mark.parametrize("name", deploy.__all__)
def test_each_public_name_is_there(name: str) -> None:
    assert getattr(deploy, name) is not None


def test_a_name_that_is_not_there_is_told() -> None:
    with pytest.raises(AttributeError, match="module 'deploy' has no attribute 'translat'"):
        deploy.translat  # type: ignore[attr-defined]  # noqa: B018


def test_a_mover_does_not_wait_for_the_translator() -> None:
    script = "import sys, deploy.mover.main; print({'yaml', 'deploy.model'} & sys.modules.keys())"
    loaded = subprocess.check_output([sys.executable, "-c", script], text=True)
    assert loaded == "set()\n"
