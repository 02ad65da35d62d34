"""kubectl-miren as a user runs it: what it prints where, and its exit status."""

import base64
import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from csi import __version__
from tests.unit.deploy import golden_apps

ROOT = Path(__file__).parents[3]

SHOP = """name = "shop"
[[services.db.disks]]
name = "data"
mount_path = "/data"
size_gb = 20
"""
WRONG = """name = "my_shop"
[services.db]
prot = 80
"""


def run(
    *arguments: str | Path, cwd: Path = ROOT, content: str | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "deploy.main", *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        input=content,
        stdin=subprocess.DEVNULL if content is None else None,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    (folder / ".miren").mkdir(parents=True)
    (folder / "src").mkdir()
    (folder / ".miren" / "app.toml").write_text(SHOP)
    return folder


def kinds(text: str) -> list[str]:
    return [manifest["kind"] for manifest in yaml.safe_load_all(text)]


@pytest.mark.parametrize(
    ("path", "cwd"),
    [
        (".miren/app.toml", "."),
        (".", "."),
        (".miren", "."),
        (None, "."),
        (None, "src"),
    ],
    ids=["file", "folder", ".miren itself", "here", "searched upwards"],
)
def test_an_app_is_translated_wherever_it_is_given(shop: Path, path: str | None, cwd: str) -> None:
    given = [] if path is None else [path]
    result = run("translate", *given, "--only", "disks", cwd=shop / cwd)
    assert (result.returncode, result.stderr) == (0, "")
    assert kinds(result.stdout) == ["PersistentVolume", "PersistentVolumeClaim"]


def test_an_app_is_translated_from_standard_input() -> None:
    result = run("translate", "-", "--only", "disks", content=SHOP)
    assert (result.returncode, result.stderr) == (0, "")
    assert kinds(result.stdout) == ["PersistentVolume", "PersistentVolumeClaim"]


def test_namespace_node_and_format_are_used(shop: Path) -> None:
    options = ["--namespace", "prod", "--node", "server-1", "-o", "json"]
    result = run("translate", shop, "--only", "disks", *options)
    document = json.loads(result.stdout)
    assert (document["apiVersion"], document["kind"]) == ("v1", "List")
    volume, claim = document["items"]
    assert claim["metadata"]["namespace"] == "prod"
    assert "server-1" in json.dumps(volume["spec"]["nodeAffinity"])


def test_a_wrong_file_exits_2_with_every_problem_and_no_manifest() -> None:
    result = run("translate", "-", "--only", "disks", content=WRONG)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == (
        "<stdin>:1:1: name: may have only letters, digits and hyphens, and no hyphen first or "
        'last; write name = "my-shop"\n'
        "<stdin>:3:1: services.db.prot: is not a known key; did you mean port?\n"
    )


def test_a_warning_goes_to_standard_error_and_the_manifests_are_printed() -> None:
    local = 'name = "a"\nservices.web.disks = [{ name = "d", mount_path = "/d", provider = "local"'
    result = run("translate", "-", "--only", "disks", content=local + ", size_gb = 1 }]")
    assert result.returncode == 0
    assert result.stderr.startswith("warning: <stdin>:2:76: services.web.disks[0].size_gb: ")
    assert kinds(result.stdout) == ["PersistentVolume", "PersistentVolumeClaim"]


def test_an_app_without_disks_prints_nothing_and_says_so() -> None:
    result = run("translate", "-", "--only", "disks", content='name = "a"')
    assert (result.returncode, result.stdout) == (0, "")
    assert result.stderr == "the app a has no disks\n"


def test_an_app_is_printed_whole_or_without_its_disks(shop: Path) -> None:
    whole = run("translate", shop, "--image", "shop:1", "--set", "LOG=debug")
    services = run("translate", shop, "--image", "shop:1", "--set", "LOG=debug", "--only=services")

    assert kinds(whole.stdout)[:2] == ["PersistentVolume", "PersistentVolumeClaim"]
    assert kinds(whole.stdout)[2:] == kinds(services.stdout) == ["Secret", "Service", "Deployment"]


@pytest.mark.parametrize("name", ["rails", "procfile-only"])
def test_the_command_prints_what_the_apps_are_expected_to_become(name: str) -> None:
    folder = golden_apps.APPS / name

    result = run("translate", folder, "--image", f"registry.example/{name}:1")

    assert result.stdout == (folder / golden_apps.EXPECTED).read_text(encoding="utf-8")


def test_a_missing_image_is_told(shop: Path) -> None:
    result = run("translate", shop)

    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == (
        "kubectl-miren: service db of shop runs the app's built image: name it with --image\n"
    )


def test_what_the_command_line_sets_wins_over_files(shop: Path) -> None:
    (shop / "env").write_text(
        '# of this stage\n\nexport LOG=info\nGREETING=\'$HOME "x"\'\nLINES="a\\nb"\nPLAIN = a b \n'
    )

    result = run("translate", shop, "--image=i", "--env-file", shop / "env", "--set", "LOG=debug")

    (secret,) = (one for one in yaml.safe_load_all(result.stdout) if one["kind"] == "Secret")
    assert {key: base64.b64decode(value).decode() for key, value in secret["data"].items()} == {
        "LOG": "debug",
        "GREETING": '$HOME "x"',
        "LINES": "a\nb",
        "PLAIN": "a b",
    }


@pytest.mark.parametrize("given", ["--set", "--env-file"])
def test_a_variable_given_here_that_names_local_data_gets_its_disk(shop: Path, given: str) -> None:
    setting = "FILES=/miren/data/local/files"
    (shop / "env").write_text(f"{setting}\n")
    value = setting if given == "--set" else str(shop / "env")

    result = run("translate", shop, "--image=i", given, value)

    assert result.returncode == 0
    assert result.stderr.startswith(
        "warning: --set, --env-file: FILES: mentions /miren/data/local, where no disk is mounted: "
        'the local disk "data" was added there to "db"; better write it into the file:\n'
    )
    made = list(yaml.safe_load_all(result.stdout))
    classes = [one["spec"]["storageClassName"] for one in made if "Volume" in one["kind"]]
    assert sorted(classes) == ["miren-disk"] * 2 + ["miren-local"] * 2
    (deployment,) = (one for one in made if one["kind"] == "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert "/miren/data/local" in [mount["mountPath"] for mount in container["volumeMounts"]]

    disks = run("translate", shop, given, value, "--only=disks")
    assert disks.stdout.count("storageClassName: miren-local") == 2


def test_a_variable_given_here_is_warned_about_as_one_of_app_toml_is() -> None:
    settings = ["--set=PORT=81", "--set=API=http://apj.app.miren/"]

    result = run("translate", "-", "--image=i", *settings, content='name = "shop"')

    assert result.returncode == 0
    assert result.stderr == (
        "warning: --set, --env-file: PORT: gives web another PORT than its port, 3000, where it is "
        "looked for; remove it: PORT is set from the port\n"
        'warning: --set, --env-file: API: names "apj.app.miren", but the app has no such service; '
        "its services are web\n"
    )


def test_each_mistake_of_an_env_file_is_told(shop: Path) -> None:
    (shop / "env").write_text("GOOD=1\nBAD\n=2\n")

    result = run("translate", shop, "--image=i", "--env-file", shop / "env")

    assert (result.returncode, result.stdout) == (2, "")
    lines = result.stderr.splitlines()
    assert [line.split(": ")[0] for line in lines] == [f"{shop}/env:{at}:1" for at in (2, 3)]


def test_a_folder_gets_a_file_for_each_object(shop: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out" / "shop"
    words = ("translate", shop, "--image=i", "-o", f"dir:{folder}")

    assert run(*words).returncode == 0
    named = yaml.safe_load((folder / "kustomization.yaml").read_text())["resources"]
    assert named == [
        "data.persistentvolume.yaml",
        "data.persistentvolumeclaim.yaml",
        "shop-db.service.yaml",
        "shop-db.deployment.yaml",
    ]
    assert {path.name for path in folder.iterdir()} == {"kustomization.yaml", *named}
    assert yaml.safe_load((folder / named[0]).read_text())["kind"] == "PersistentVolume"

    # Of what it wrote it removes what is not needed any more, and nothing else.
    (folder / "mine.yaml").write_text("kind: Mine\n")
    assert run(*words, "--only=disks").returncode == 0
    left = {path.name for path in folder.iterdir()}
    assert left == {"kustomization.yaml", "mine.yaml", *named[:2]}


def test_no_file_outside_of_the_folder_is_ever_removed(shop: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    (tmp_path / "mine.yaml").write_text("kind: Mine\n")
    words = ("translate", shop, "--only=disks", "-o", f"dir:{folder}")
    assert run(*words).returncode == 0
    named = folder / "kustomization.yaml"
    named.write_text(named.read_text() + "- ../mine.yaml\n")

    assert run(*words).returncode == 0

    assert (tmp_path / "mine.yaml").exists()


def test_a_folder_that_holds_something_else_is_left_alone(shop: Path) -> None:
    before = sorted(shop.rglob("*"))

    result = run("translate", shop, "--image=i", "-o", f"dir:{shop}")

    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == (
        f"kubectl-miren: {shop} holds other files: name a new or an empty folder\n"
    )
    assert sorted(shop.rglob("*")) == before


def test_a_disk_that_is_full_leaves_the_folder_as_it_was(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    long = f'[[services.db.env]]\nkey = "LONG"\nvalue = "{"x" * 9000}"\n'
    words = [sys.executable, "-m", "deploy.main", "translate", "-", "--image=i", "-o"]

    def write(content: str, limit: str) -> subprocess.CompletedProcess[str]:
        # No file may become larger than so many KiB.
        script = ["bash", "-c", f'ulimit -f {limit} && exec "$@"', "bash", *words, f"dir:{folder}"]
        return subprocess.run(
            script, cwd=ROOT, input=content, capture_output=True, text=True, check=False
        )

    failed = write(SHOP + long, "4")
    assert failed.returncode == 1
    assert failed.stderr == f"kubectl-miren: {folder} could not be written: File too large\n"
    assert list(folder.iterdir()) == []

    assert write(SHOP, "4").returncode == 0
    before = {path.name: path.read_text() for path in folder.iterdir()}
    assert write(SHOP.replace("20", "30") + long, "4").returncode == 1
    assert {path.name: path.read_text() for path in folder.iterdir()} == before


def test_what_a_killed_run_left_in_a_folder_is_no_obstacle(shop: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / ".data.persistentvolume.yaml.new").write_text("kind: Persist")

    result = run("translate", shop, "--only=disks", "-o", f"dir:{folder}")

    assert (result.returncode, result.stderr) == (0, "")
    assert {path.name for path in folder.iterdir()} == {
        "kustomization.yaml",
        "data.persistentvolume.yaml",
        "data.persistentvolumeclaim.yaml",
    }


def test_a_folder_that_cannot_be_written_exits_1(shop: Path) -> None:
    result = run("translate", shop, "--image=i", "-o", "dir:/proc/none")

    assert result.returncode == 1
    assert result.stderr.startswith("kubectl-miren: /proc/none could not be written: ")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "the following arguments are required: COMMAND"),
        (["translat"], "invalid choice: 'translat'"),
        (["translate", "--only", "secrets"], "invalid choice: 'secrets'"),
        (["translate", "-o", "xml"], "'xml' is none of yaml, json, dir:PATH"),
        (["translate", "-o", "dir:"], "'dir:' is none of yaml, json, dir:PATH"),
        (["translate", "-", "--set", "LOG"], '"LOG" is no KEY=VALUE'),
        (["translate", "-", "--image", "a b"], '"a b" is no image'),
        (["translate", "-", "--image", ""], '"" is no image'),
        (["translate", "-", "--env-file", "none"], "none: cannot be read: No such file"),
        (["translate", "-", "--coordinator-label", "disk"], '"disk" is no label'),
        (["translate", "-", "--coordinator-label", "a b=c"], '"a b" is no label\'s key'),
        (["translate", "-", "--set", "KEY=\udcff"], "the value of KEY is not UTF-8 text"),
        (["translate", "-", "--node=a", "--coordinator-label=b=c"], "not allowed with"),
        (["translate", "-", "--only", "disks", "--namespace", "Prod"], '"Prod" is no namespace'),
        (["translate", "-", "--only", "disks", "--node", "a b"], '"a b" is no node name'),
        (["translate", "missing", "--only", "disks"], "missing: cannot be read: No such file"),
        (["translate", "a" * 5000, "--only", "disks"], "cannot be read: File name too long"),
    ],
)
def test_a_wrong_command_line_exits_2_and_says_why(arguments: list[str], said: str) -> None:
    result = run(*arguments, content=SHOP)
    assert (result.returncode, result.stdout) == (2, "")
    assert said in result.stderr
    assert "Traceback" not in result.stderr


def test_no_app_above_the_working_directory_exits_2() -> None:
    result = run("translate", "--only", "disks", cwd=Path("/proc"))
    assert result.returncode == 2
    assert result.stderr.startswith(
        "/proc: there is no .miren/app.toml here or in any folder above"
    )


def test_help_shows_how_to_use_it() -> None:
    assert "translate" in run("--help").stdout
    example = "kubectl miren translate --image registry.example/shop:7 | kubectl apply -f -"
    assert example in run("translate", "-h").stdout


def test_the_version_is_told() -> None:
    result = run("--version")
    assert (result.returncode, result.stdout) == (0, f"kubectl-miren {__version__}\n")


def shell(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = f'translate() {{ "{sys.executable}" -m deploy.main translate "$@" --only disks; }}\n'
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        ["bash", "-c", command + script],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_reader_that_went_away_is_no_crash(shop: Path) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    with os.fdopen(write_end, "w") as pipe:
        result = subprocess.run(
            [sys.executable, "-m", "deploy.main", "translate", shop, "--only", "disks"],
            cwd=ROOT,
            stdout=pipe,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    # As the shell reports a program that the broken pipe's signal ended.
    assert (result.returncode, result.stderr) == (141, "")


def test_manifests_that_cannot_be_written_exit_1_with_the_reason(shop: Path) -> None:
    result = shell("translate > /dev/full", shop)
    assert result.returncode == 1
    assert result.stderr == (
        "kubectl-miren: the manifests could not be written: No space left on device\n"
    )


def test_closed_streams_are_no_crash(shop: Path) -> None:
    assert shell("translate >&-", shop).stderr == (
        "kubectl-miren: the manifests could not be written: Bad file descriptor\n"
    )
    result = shell("translate - <&-", shop)
    assert result.returncode == 2
    assert result.stderr.startswith("<stdin>: cannot be read: Bad file descriptor")


def test_a_working_directory_that_was_deleted_is_no_crash(shop: Path) -> None:
    result = shell("mkdir gone; cd gone; rmdir ../gone; translate", shop)
    assert result.returncode == 2
    assert result.stderr.startswith(".: has been deleted: No such file or directory")


def wait_for_reader(fifo: Path, process: subprocess.Popen[bytes]) -> int:
    """Return the writing end, once the process has the reading end open."""
    while process.poll() is None:
        try:
            return os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=0.01)
    pytest.fail("the command ended without reading its file")


def test_an_interrupt_is_no_crash(tmp_path: Path) -> None:
    slow = tmp_path / "app.toml"
    os.mkfifo(slow)
    # A test run in the background ignores interrupts, and so would its children.
    command: list[str | Path] = ["env", "--default-signal=INT", sys.executable, "-m", "deploy.main"]
    command += ["translate", slow, "--only", "disks"]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE) as process:
        writing_end = wait_for_reader(slow, process)
        process.send_signal(signal.SIGINT)
        # Also ends a command that goes on after the interrupt: it reads an empty file.
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=20)
        os.close(writing_end)
        _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (130, b"")
