"""When a deployment gives up a service whose container ends again and again."""

from collections.abc import Sequence

import pytest

from deploy.patience import UNSEEN, Patience
from deploy.rollout import Progress


class Deployment:
    """One that somebody watches, every second or so."""

    def __init__(self) -> None:
        self._now = 1000.0
        self._patience = Patience(lambda: self._now)

    def gives_up(self, *services: Progress, after: float = 1) -> list[str]:
        """Look at the services some time later; returns which are given up."""
        self._now += after
        self._patience.look(services)
        return [one.service for one in self._patience.given_up()]

    def waits_for(self, one: Progress) -> list[str]:
        return self._patience.waits_for(one)


@pytest.fixture
def deployment() -> Deployment:
    return Deployment()


def starting(service: str, *restarts: int) -> Progress:
    return Progress(service, is_ready=False, doing="starting", restarts=restarts)


def ready(service: str, *, is_probed: bool = True) -> Progress:
    return Progress(service, is_ready=True, doing="ready", is_probed=is_probed)


DB, DB_UNSEEN = ready("db"), ready("db", is_probed=False)


def test_one_that_cannot_wait_for_anything_is_given_up_after_three_ends(
    deployment: Deployment,
) -> None:
    told = [deployment.gives_up(starting("web", ends)) for ends in range(4)]
    assert told == [[], [], [], ["web"]]


@pytest.mark.parametrize("before", [[DB], [DB_UNSEEN]], ids=["with-port", "without-port"])
def test_what_was_up_before_is_not_waited_for(
    deployment: Deployment, before: Sequence[Progress]
) -> None:
    assert deployment.gives_up(*before, starting("web")) == []
    assert deployment.gives_up(*before, starting("web", 3)) == ["web"]


def test_each_instance_counts_for_itself(deployment: Deployment) -> None:
    assert deployment.gives_up(starting("web", 2, 2, 2)) == []
    assert deployment.gives_up(starting("web", 0, 3, 0)) == ["web"]


def test_nothing_is_given_up_while_another_one_is_on_its_way(deployment: Deployment) -> None:
    web = starting("web", 9)
    assert deployment.gives_up(starting("db"), web) == []
    assert deployment.waits_for(web) == ["db"]
    assert deployment.waits_for(starting("web", 2)) == []  # nothing to explain yet


def test_after_another_one_came_up_there_is_a_whole_try(deployment: Deployment) -> None:
    deployment.gives_up(starting("db"), starting("web", 7))
    assert deployment.gives_up(DB, starting("web", 7)) == []
    assert deployment.gives_up(DB, starting("web", 8)) == []  # 7 had begun before
    assert deployment.waits_for(starting("web", 8)) == []
    assert deployment.gives_up(DB, starting("web", 9)) == ["web"]


def test_one_without_a_port_gets_time_to_answer(deployment: Deployment) -> None:
    deployment.gives_up(starting("db"), starting("web"))
    deployment.gives_up(DB_UNSEEN, starting("web", 3))
    assert deployment.gives_up(DB_UNSEEN, starting("web", 9), after=UNSEEN - 1) == []
    assert deployment.waits_for(starting("web", 9)) == ["db"]
    assert deployment.gives_up(DB_UNSEEN, starting("web", 9), after=2) == []
    assert deployment.gives_up(DB_UNSEEN, starting("web", 11)) == ["web"]


def test_its_time_begins_anew_when_it_ends(deployment: Deployment) -> None:
    deployment.gives_up(starting("db"), starting("web"))
    deployment.gives_up(DB_UNSEEN, starting("web"))
    deployment.gives_up(starting("db", 1), starting("web", 5), after=UNSEEN - 1)
    deployment.gives_up(DB_UNSEEN, starting("web", 9))
    assert deployment.gives_up(DB_UNSEEN, starting("web", 11), after=UNSEEN - 1) == []


def test_two_that_wait_for_each_other_are_given_up_together(deployment: Deployment) -> None:
    assert deployment.gives_up(starting("db", 2), starting("web", 5)) == []
    assert deployment.gives_up(starting("db", 3), starting("web", 5)) == ["db", "web"]


def test_one_that_comes_and_goes_gives_no_second_reprieve(deployment: Deployment) -> None:
    deployment.gives_up(starting("db"), starting("web", 3))
    for ends in (3, 4):
        deployment.gives_up(DB, starting("web", ends))
        deployment.gives_up(starting("db"), starting("web", ends))
    assert deployment.gives_up(DB, starting("web", 5)) == ["web"]


def test_one_that_runs_for_a_while_each_time_gets_no_reprieve_of_its_own(
    deployment: Deployment,
) -> None:
    deployment.gives_up(starting("worker"))
    deployment.gives_up(ready("worker"))
    assert deployment.gives_up(starting("worker", 3)) == ["worker"]
