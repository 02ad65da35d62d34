"""Which keys an app.toml may have, and what to advise about one that it may not have."""

import difflib

# By section, as its header is written; the most telling keys of a section come first.
KEYS = {
    "the top level": (
        "name",
        "services",
        "env",
        "build",
        "include",
        "post_import",
        "concurrency",
    ),
    "[services.NAME]": (
        "command",
        "image",
        "port",
        "port_name",
        "port_type",
        "env",
        "concurrency",
        "disks",
    ),
    "[services.NAME.concurrency]": (
        "mode",
        "num_instances",
        "requests_per_instance",
        "scale_down_delay",
    ),
    "[[services.NAME.disks]]": (
        "name",
        "mount_path",
        "provider",
        "size_gb",
        "filesystem",
        "read_only",
        "lease_timeout",
    ),
    "[[env]]": ("key", "value"),
    "[build]": ("dockerfile", "onbuild", "version", "alpine_image"),
}

# What other tools call a key, where it is too far from its name here to be found by likeness.
_OTHER_WORDS = {
    ("[services.NAME]", "environment"): "env",
    ("[services.NAME]", "cmd"): "command",
    ("[services.NAME]", "volumes"): "disks",
    ("[services.NAME]", "replicas"): "concurrency",
    ("[services.NAME.concurrency]", "replicas"): "num_instances",
    ("[[services.NAME.disks]]", "path"): "mount_path",
    ("[[services.NAME.disks]]", "fs"): "filesystem",
    ("[[services.NAME.disks]]", "type"): "filesystem",
    ("[[env]]", "name"): "key",
}


def advice_on_unknown(key: str, section: str) -> str:
    """Say what to write instead of a key that this section does not have."""
    if (section, key) in _OTHER_WORDS:
        return f"did you mean {_OTHER_WORDS[section, key]}?"
    for other, keys in KEYS.items():
        if key in keys and other != section:
            return f"it belongs in {other}"
    near = difflib.get_close_matches(key, KEYS[section], n=1)
    if near:
        return f"did you mean {near[0]}?"
    for other, keys in KEYS.items():
        if near := difflib.get_close_matches(key, keys, n=1, cutoff=0.75):
            return f"did you mean {near[0]}, which belongs in {other}?"
    return f"the keys of {section} are {', '.join(KEYS[section])}"
