"""What each key of an app.toml means, in a line or two, with examples: what editors show."""

from collections.abc import Mapping
from dataclasses import dataclass

from deploy.model import (
    AppConfig,
    AutoConcurrency,
    Build,
    DiskSpec,
    EnvVar,
    FixedConcurrency,
    Service,
)


@dataclass(frozen=True, slots=True)
class Described:
    """What a key means; `absent` says what holds where it is left out, if no default tells."""

    meaning: str
    examples: tuple[object, ...] = ()
    absent: str = ""


SECTIONS: Mapping[type, str] = {
    AppConfig: "A Miren app: its services, their environment and their disks.",
    Service: "One service: a command or an image, run in one instance or several.",
    DiskSpec: "A disk of this service. It outlives the service and the app.",
    EnvVar: "One environment variable.",
    AutoConcurrency: "As many instances as the requests need.",
    FixedConcurrency: "Always the same number of instances.",
    Build: "How the app's image is built: done elsewhere, no manifest depends on it.",
}

KEYS: Mapping[type, Mapping[str, Described]] = {
    AppConfig: {
        "name": Described("The app's name. It names the app's objects.", ("my-app",)),
        "services": Described(
            "The app's services, each a table [services.NAME].", absent="one service, web"
        ),
        "env": Described(
            "Environment variables of all services. A service's own wins where both give a key.",
            ([{"key": "LOG_LEVEL", "value": "info"}],),
        ),
        "include": Described("Extra files for the build.", (["config/master.key"],)),
        "post_import": Described("A command to run once after an import.", ("bin/rails db:seed",)),
        "concurrency": Described(
            "The older form, for the whole app. Better write [services.NAME.concurrency].", (5,)
        ),
    },
    Service: {
        "command": Described(
            "What to run, as a shell line.",
            ("node server.js", "bundle exec puma"),
            absent="the image's own command",
        ),
        "image": Described(
            "The image to run.", ("postgres:16", "redis:7"), absent="the image built from the app"
        ),
        "port": Described(
            "The port that the service listens on.", (8080, 5432), absent="3000 for web, else none"
        ),
        "port_name": Described("The name of the port.", ("http",)),
        "port_type": Described("What is spoken at the port.", absent="http for web, else tcp"),
        "env": Described(
            "Environment variables of this service. They win over the app's.",
            ([{"key": "POSTGRES_PASSWORD", "value": "secret"}],),
        ),
        "concurrency": Described(
            "How many instances run: mode auto or fixed, each with its own keys.",
            ({"mode": "auto", "requests_per_instance": 20}, {"mode": "fixed", "num_instances": 2}),
            absent="auto for web without a miren disk, else one instance",
        ),
        "disks": Described(
            "The disks of this service. One instance at a time can hold a miren disk.",
            ([{"name": "my-data", "mount_path": "/data", "size_gb": 10}],),
        ),
    },
    DiskSpec: {
        "name": Described(
            "The disk's name: letters, digits, hyphens. A miren disk that exists is used again.",
            ("my-data",),
        ),
        "mount_path": Described(
            "Where the disk is mounted in the container: an absolute path.",
            ("/data", "/var/lib/postgresql/data"),
        ),
        "provider": Described(
            "miren: a disk of its own, held by one instance at a time. "
            "local: a directory on the coordinator, shared by all instances of the app."
        ),
        "size_gb": Described(
            "The size in GiB. Needed only to create the disk. Means nothing for a local disk.",
            (10, 50),
        ),
        "filesystem": Described(
            "What the disk is formatted with when it is created. Means nothing for a local disk."
        ),
        "read_only": Described("Whether the disk is mounted so that nothing can be written."),
        "lease_timeout": Described(
            "How long a new instance waits for the one that holds the disk. "
            "Means nothing for a local disk.",
            ("90s", "5m", "1h30m"),
        ),
    },
    EnvVar: {
        "key": Described("The variable's name.", ("DATABASE_URL",)),
        "value": Described("The variable's value, kept as it is written.", ("info",)),
    },
    AutoConcurrency: {
        "requests_per_instance": Described(
            "How many requests at a time one instance is to serve.", (20,)
        ),
        "scale_down_delay": Described(
            "How long there is too little to do before an instance is ended.", ("15m", "2m30s")
        ),
    },
    FixedConcurrency: {
        "num_instances": Described(
            "How many instances run. With a miren disk it can only be 1.", (2,)
        ),
    },
    Build: {
        "dockerfile": Described("The Dockerfile to build with.", ("Dockerfile.prod",)),
        "onbuild": Described("Commands to run in the build.", (["npm run build"],)),
        "version": Described("The version of the language.", ("22", "3.3")),
        "alpine_image": Described("The Alpine image to build on.", ("alpine:3.20",)),
    },
}
