"""What is said at the end of a command that ran in a container."""

import json

import pytest

from csi.errors import Unavailable
from csi.kubernetes_api import _exit_status


def said(status: str, *causes: dict[str, str], message: str = "") -> str:
    return json.dumps({"status": status, "message": message, "details": {"causes": [*causes]}})


def test_a_command_that_came_to_its_end_has_a_status() -> None:
    assert _exit_status('{"metadata": {}, "status": "Success"}', "sh", "db-0") == 0
    failed = said("Failure", {"reason": "ExitCode", "message": "3"})
    assert _exit_status(failed, "sh", "db-0") == 3


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "the connection to sh in pod db-0 was lost"),
        (
            said("Failure", {"message": "failed to exec"}, message='"sh": not found in $PATH'),
            r'sh does not run in pod db-0: "sh": not found in \$PATH',
        ),
    ],
)
def test_one_that_did_not_has_none(text: str, why: str) -> None:
    with pytest.raises(Unavailable, match=why):
        _exit_status(text, "sh", "db-0")
