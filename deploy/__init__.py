"""What brings apps to a cluster: the app.toml model and its translation to manifests.

What it offers, all of deploy.api, is imported when a name of it is used: most commands, and the
mover, need none of that.
"""

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from deploy.api import *  # noqa: F403
else:  # mypy would take any name for one of these

    def __getattr__(name: str) -> object:
        # Python asks for names of its own, and for modules before it imports them.
        is_own = name.startswith("_") and name != "__all__"
        if is_own or find_spec(f"{__name__}.{name}"):
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f"{__name__}.api"), name)
