"""Whether a mover's Job has ended, and whether anybody waits for it."""

from datetime import datetime

from csi.kubernetes_api import Object
from deploy.operate.mover_job import HEARD_KEY

_STALE = 60.0
"""Seconds after which a Job that was never let loose is taken for one whose command is gone."""

_UNSTARTED = 3600.0
"""Seconds after which the same holds for one whose pod does not run: commands wait not as long."""


def is_over(job: Object) -> bool:
    """Tell whether nobody waits for a Job any more."""
    if ended := ended_at(job):
        heard_within = (job["metadata"].get("annotations") or {}).get(HEARD_KEY, "")
        return _seconds_since(ended) > (int(heard_within) if heard_within.isdecimal() else 0)
    since = _seconds_since(job["metadata"]["creationTimestamp"])
    if job["spec"].get("suspend"):
        return since > _STALE
    return not (job.get("status") or {}).get("ready") and since > _UNSTARTED


def ended_at(job: Object) -> str | None:
    """Return when a Job has ended, well or not; None if it has not."""
    for one in (job.get("status") or {}).get("conditions") or ():
        if one["type"] in {"Complete", "Failed"} and one["status"] == "True":
            return str(one["lastTransitionTime"])
    return None


def _seconds_since(moment: str) -> float:
    then = datetime.fromisoformat(moment)
    return (datetime.now(then.tzinfo) - then).total_seconds()
