"""Leases to put into stores."""

from datetime import UTC, datetime, timedelta

from controller.lease import Lease, Waiting
from controller.leases import LeaseStore

NOON = datetime(2026, 1, 2, 12, 0, 0, 123456, tzinfo=UTC)

FULL = Lease(
    disk='ünïcode/"../x',
    holder="default/db-0",
    node="coordinator",
    acquire_time=NOON,
    renew_time=NOON + timedelta(microseconds=1),
    transitions=7,
    read_only=True,
    shared=True,
    waiting=(
        Waiting("default/db-2", since=NOON, asked=NOON + timedelta(seconds=5), timeout=0.5),
        Waiting("default/db-1", since=NOON, asked=NOON, timeout=300.0),
    ),
)


def put(store: LeaseStore, lease: Lease) -> None:
    store.update(lease.disk, lambda _: lease)
