"""When a service that ends again and again is given up.

It may only wait for another service of its app, a database for example: a container that ends
until what it needs answers is usual, and Kubernetes starts it again. So nothing is given up while
another service is on its way, and each gets one more try after another one came up.
"""

import time
from collections.abc import Callable, Mapping, Sequence

from deploy.rollout import Progress

ENDS = 3
"""After so many ends of its container an instance will not start by waiting."""
UNSEEN = 60.0
"""Seconds that a service without a port, of which nobody sees whether it answers, is given for it.
What was up before the deployment is not given any."""


class Patience:
    """Watches the services of one deployment."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Args: clock: seconds."""
        self._clock = clock
        self._found: Sequence[Progress] = ()
        self._ready_since: Mapping[str, float] | None = None
        self._up: frozenset[str] = frozenset()
        self._came_up: frozenset[str] = frozenset()
        self._excused: dict[str, int] = {}

    def look(self, found: Sequence[Progress]) -> None:
        """See how far all services are now."""
        is_first = self._ready_since is None
        self._found = found
        self._up = self._who_is_up()
        if self._up - self._came_up and not is_first:
            others = (one for one in found if one.service not in self._up)
            self._excused |= {one.service: _ends(one) for one in others}
        self._came_up |= self._up

    def given_up(self) -> list[Progress]:
        """Return the services that will not start by waiting."""
        return [] if self._on_their_way() else [*filter(self._is_beaten, self._found)]

    def waits_for(self, one: Progress) -> list[str]:
        """Return the services for which one may wait, if it ends again and again."""
        return self._on_their_way() if self._is_beaten(one) else []

    def _who_is_up(self) -> frozenset[str]:
        now = self._clock()
        ready = {one.service: one.is_probed for one in self._found if one.is_ready}
        known = self._ready_since
        if known is None:
            known = dict.fromkeys(ready, now - UNSEEN)
        self._ready_since = since = {name: known.get(name, now) for name in ready}
        return frozenset(name for name in ready if ready[name] or now - since[name] >= UNSEEN)

    def _on_their_way(self) -> list[str]:
        return [
            one.service
            for one in self._found
            if one.service not in self._up and not self._is_beaten(one)
        ]

    def _is_beaten(self, one: Progress) -> bool:
        # A try that was under way when another service came up may have begun too early.
        least = max(ENDS, self._excused.get(one.service, 0) + 2)
        return not one.is_ready and _ends(one) >= least


def _ends(one: Progress) -> int:
    return max(one.restarts, default=0)
