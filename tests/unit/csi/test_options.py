"""The command line: complete, forgiving about where values come from, one line an error."""

import pytest

from csi import options

MINIMAL = ["--endpoint", "unix:///run/x.sock", "--node-id", "n1", "--pool", "loop:/tmp/p"]
LEASES = ["--leases", "file:/tmp/leases.json"]


def test_all_has_one_socket_by_default() -> None:
    chosen = options.parse(["all", *MINIMAL, *LEASES], {})
    assert chosen.node_endpoint == chosen.endpoint == "unix:///run/x.sock"
    assert chosen.controls
    assert chosen.is_node
    assert (chosen.overcommit, chosen.max_volumes) == (2.0, 0)
    assert (chosen.log_level, chosen.log_format) == ("info", "text")
    assert (chosen.http_endpoint, chosen.kubelet_dir) == (None, None)


def test_a_node_needs_no_leases() -> None:
    chosen = options.parse(["node", *MINIMAL], {})
    assert chosen.is_node
    assert not chosen.controls


def test_every_option_has_an_environment_variable() -> None:
    environ = {
        "MIREN_CSI_ENDPOINT": "unix:///e",
        "MIREN_CSI_NODE_ID": "n2",
        "MIREN_CSI_POOL": "lvm:vg/pool",
        "MIREN_CSI_LEASES": "file:/l",
        "MIREN_CSI_NODE_ENDPOINT": "unix:///n",
        "MIREN_CSI_LOCAL_ROOT": "/srv/local",
        "MIREN_CSI_OVERCOMMIT": "3.5",
        "MIREN_CSI_MAX_VOLUMES": "8",
        "MIREN_CSI_HTTP_ENDPOINT": "127.0.0.1:9808",
        "MIREN_CSI_KUBELET_DIR": "/var/lib/kubelet",
        "MIREN_CSI_NAMESPACE": "storage",
        "MIREN_CSI_LOG_LEVEL": "debug",
        "MIREN_CSI_LOG_FORMAT": "json",
    }
    chosen = options.parse(["all"], environ)
    assert (chosen.endpoint, chosen.node_endpoint) == ("unix:///e", "unix:///n")
    assert (chosen.node_id, chosen.pool, chosen.leases) == ("n2", "lvm:vg/pool", "file:/l")
    assert (str(chosen.local_root), chosen.overcommit) == ("/srv/local", 3.5)
    assert chosen.namespace == "storage"
    assert (chosen.max_volumes, chosen.log_level, chosen.log_format) == (8, "debug", "json")
    assert (str(chosen.http_endpoint), str(chosen.kubelet_dir)) == (
        "127.0.0.1:9808",
        "/var/lib/kubelet",
    )


def test_the_command_line_wins_over_the_environment() -> None:
    chosen = options.parse(["all", *MINIMAL, *LEASES], {"MIREN_CSI_NODE_ID": "other"})
    assert chosen.node_id == "n1"


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        ([], "the following arguments are required: ROLE"),
        (["both"], "invalid choice: 'both'"),
        (["all", *MINIMAL], "--leases is missing"),
        (["node", *MINIMAL[2:]], "--endpoint is missing"),
        (["node", *MINIMAL[:2], *MINIMAL[4:]], "--node-id is missing"),
        (["node", *MINIMAL[:4]], "--pool is missing"),
        (["node", *MINIMAL, "--overcommit", "0"], "must be between 0 and 1000, not 0"),
        (["node", *MINIMAL, "--overcommit", "much"], "must be a number, not 'much'"),
        (["node", *MINIMAL, "--overcommit", "nan"], "must be between 0 and 1000, not nan"),
        (["node", *MINIMAL, "--max-volumes", "-1"], "must be a whole number, not '-1'"),
        (["node", *MINIMAL, "--log-level", "loud"], "must be debug or info or warning or error"),
        (["node", *MINIMAL, "--local-root", "here"], "must be an absolute path, not 'here'"),
        (["node", *MINIMAL, "--http-endpoint", "9808"], "must be ADDRESS:PORT or :PORT"),
        (["node", *MINIMAL, "--kubelet-dir", "here"], "must be an absolute path, not 'here'"),
        (["controller", *MINIMAL, *LEASES, "--kubelet-dir", "/k"], "unrecognized arguments"),
        (["node", *MINIMAL, "--frobnicate"], "unrecognized arguments: --frobnicate"),
    ],
)
def test_a_mistake_is_one_line_and_exit_2(
    argv: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        options.parse(argv, {})
    said = capsys.readouterr().err
    assert ended.value.code == 2
    assert sentence in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("role", list(options.ROLES))
def test_help_explains_pools_and_environment(role: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        options.parse([role, "--help"], {})
    said = capsys.readouterr().out
    assert ended.value.code == 0
    for word in ("lvm:VG/THINPOOL", "loop:DIR", "MIREN_CSI_NODE_ID", "--overcommit RATIO"):
        assert word in said
