"""What the keys of an app.toml become, rule by rule; whole apps are in apps/."""

import base64
import re
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from csi.persistent_volume import Pin
from deploy import Manifest, Options, parse, to_yaml, translate, translate_services
from tests.translated import manifests
from tests.unit.deploy import any_app

IMAGE = Options(image="shop:1")


def made(*lines: str, options: Options = IMAGE) -> list[Manifest]:
    return translate(parse("\n".join(['name = "shop"', *lines])), options)


def one(kind: str, *lines: str, options: Options = IMAGE) -> Manifest:
    """The object of a kind of which the app has one."""
    [found] = [each for each in made(*lines, options=options) if each["kind"] == kind]
    return found


def pod(*lines: str, options: Options = IMAGE) -> Manifest:
    spec: Manifest = one("Deployment", *lines, options=options)["spec"]["template"]["spec"]
    return spec


def container(*lines: str, options: Options = IMAGE) -> Manifest:
    [found] = pod(*lines, options=options)["containers"]
    assert isinstance(found, dict)
    return found


def variables(*lines: str, options: Options = IMAGE) -> dict[str, str]:
    """What the service's container has as environment, as kubelet would put it together."""
    built = container(*lines, options=options)
    secrets = [each for each in made(*lines, options=options) if each["kind"] == "Secret"]
    by_name = {
        secret["metadata"]["name"]: {
            key: base64.b64decode(value).decode() for key, value in secret["data"].items()
        }
        for secret in secrets
    }
    found: dict[str, str] = {}
    for source in built.get("envFrom", []):
        found |= by_name[source["secretRef"]["name"]]
    for entry in built.get("env", []):
        if "value" in entry:
            found[entry["name"]] = entry["value"]
        else:
            reference = entry["valueFrom"]["secretKeyRef"]
            found[entry["name"]] = by_name[reference["name"]][reference["key"]]
    return found


def disk(service: str, *lines: str) -> list[str]:
    return [f"[[services.{service}.disks]]", 'name = "data"', 'mount_path = "/data"', *lines]


# Whole apps


@settings(max_examples=50)
@given(any_app.right_apps())
def test_the_same_app_gives_the_same_bytes(app: any_app.Table) -> None:
    text = any_app.as_toml(app)
    assert to_yaml(manifests(parse(text))) == to_yaml(manifests(parse(text)))


@settings(max_examples=50)
@given(any_app.right_apps(), st.randoms(use_true_random=False))
def test_the_order_of_the_file_does_not_matter(app: any_app.Table, random: Random) -> None:
    # The order within an array has a meaning, that of tables and keys has none.
    assert to_yaml(manifests(parse(any_app.as_toml(shuffled(app, random))))) == to_yaml(
        manifests(parse(any_app.as_toml(app)))
    )


def shuffled(table: any_app.Table, random: Random) -> any_app.Table:
    keys = list(table)
    random.shuffle(keys)
    return {
        key: shuffled(table[key], random) if isinstance(table[key], dict) else table[key]
        for key in keys
    }


@given(any_app.right_apps())
def test_no_two_objects_of_an_app_meet(app: any_app.Table) -> None:
    found = [
        (each["kind"], each["metadata"]["name"]) for each in manifests(parse(any_app.as_toml(app)))
    ]
    assert len(found) == len(set(found))


def test_objects_come_in_the_order_to_apply_them() -> None:
    found = made(*disk("db"), "[services.web]", "[[env]]", 'key = "A"')
    assert [(each["kind"], each["metadata"]["name"]) for each in found] == [
        ("PersistentVolume", "data"),
        ("PersistentVolumeClaim", "data"),
        ("Secret", "shop-db"),
        ("Secret", "shop-web"),
        ("Service", "shop-db"),
        ("Service", "shop-web"),
        ("Deployment", "shop-db"),
        ("Deployment", "shop-web"),
        ("HorizontalPodAutoscaler", "shop-web"),
    ]


def test_selectors_find_the_pods_of_the_service_and_no_others() -> None:
    deployment = one("Deployment", "[services.db]", "port = 5432")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert labels["app.kubernetes.io/name"] == "shop"
    assert labels["app.kubernetes.io/component"] == "db"
    assert deployment["spec"]["selector"]["matchLabels"] == labels
    assert one("Service", "[services.db]", "port = 5432")["spec"]["selector"] == labels


@pytest.mark.parametrize(
    ("lines", "who"),
    [
        (["[services.db]"], "service db of shop runs"),
        (
            ["[services.db]", 'image = "x"', "[services.a]", "[services.b]"],
            "services a, b of shop run",
        ),
        (
            ['post_import = "x"', "[services.db]", 'image = "postgres:16"'],
            "post_import of shop runs",
        ),
    ],
)
def test_a_missing_image_is_told_with_all_who_need_it(lines: list[str], who: str) -> None:
    with pytest.raises(ValueError, match="--image") as refusal:
        made(*lines, options=Options())
    assert str(refusal.value) == f"{who} the app's built image: name it with --image"


# Commands


def test_a_command_is_a_line_for_the_shell_and_none_is_the_images_own() -> None:
    command = container("[services.a]", 'command = "bin/a | tee log"')["command"]
    assert command == ["/bin/sh", "-c", "bin/a | tee log"]
    assert "command" not in container("[services.a]")


def expanded(text: str) -> str:
    """What Kubernetes makes of a command when the container has a variable HOME.

    As it does it up to 1.34, byte by byte: third_party/forked/golang/expansion/expand.go.
    """
    left, done = text.encode(), b""
    while left:
        if left[:1] != b"$" or len(left) == 1:
            taken, became = 1, left[:1]
        elif left[1:2] == b"$":
            taken, became = 2, b"$"
        elif left[1:2] != b"(":
            # One byte, taken for a whole character.
            taken, became = 2, b"$" + chr(left[1]).encode()
        elif (end := left.find(b")")) < 0:
            taken, became = 2, b"$("
        else:
            name = left[2:end]
            taken, became = end + 1, b"/root" if name == b"HOME" else b"$(" + name + b")"
        left, done = left[taken:], done + became
    return done.decode(errors="replace")


@given(st.text(st.sampled_from("$()aHOME '\"\\{}é🐎"), min_size=1) | any_app.TEXTS)
def test_the_shell_sees_a_command_as_it_was_written(command: str) -> None:
    line = container(any_app.as_toml({"services": {"a": {"command": command}}}))
    if command:
        assert expanded(line["command"][2]) == command


# Environment


def test_the_services_value_wins_and_the_command_line_over_both() -> None:
    env = ("[[env]]", 'key = "A"', 'value = "app"', "[[env]]", 'key = "B"', 'value = "app"')
    own = ("[[services.a.env]]", 'key = "A"', 'value = "own"')
    assert variables(*env, *own) == {"A": "own", "B": "app"}
    given = Options(image="shop:1", environment={"A": "set", "C": "set"})
    assert variables(*env, *own, options=given) == {"A": "set", "B": "app", "C": "set"}


@given(st.dictionaries(any_app.VARIABLES, any_app.TEXTS, max_size=4))
def test_values_and_names_of_variables_arrive_as_they_are(given: dict[str, str]) -> None:
    env = [{"key": key, "value": value} for key, value in given.items()]
    assert variables(any_app.as_toml({"services": {"a": {"env": env}}})) == given


def test_no_value_stands_in_a_pod_where_everybody_may_read_it() -> None:
    lines = ("[[services.a.env]]", 'key = "odd key"', 'value = "hunter2"')
    assert "hunter2" not in str(one("Deployment", *lines))


# https://kubernetes.io/docs/concepts/configuration/secret/: the key of a Secret is a file's name.
@pytest.mark.parametrize("key", [".", "..", "..data", "a b", "x" * 254])
def test_a_variable_whose_name_no_secret_takes_has_another_key_there(key: str) -> None:
    lines = ("[[services.a.env]]", f'key = "{key}"', 'value = "x"')
    [used] = one("Secret", *lines)["data"]
    assert re.fullmatch(r"[-._a-zA-Z0-9]{1,253}", used)
    assert used != "."
    assert not used.startswith("..")
    assert variables(*lines) == {key: "x"}


@pytest.mark.parametrize("key", [".env", "a..b", "a."])
def test_a_variable_with_dots_elsewhere_keeps_its_key(key: str) -> None:
    lines = ("[[services.a.env]]", f'key = "{key}"', 'value = "x"')
    assert list(one("Secret", *lines)["data"]) == [key]


def test_a_changed_value_starts_new_pods() -> None:
    def template(value: str) -> object:
        lines = ("[[services.a.env]]", 'key = "A"', f'value = "{value}"')
        return one("Deployment", *lines)["spec"]["template"]

    assert template("1") == template("1")
    assert template("1") != template("2")


def test_an_environment_too_large_for_a_secret_is_told() -> None:
    env = [{"key": f"A{number}", "value": "x" * 100_000} for number in range(8)]
    with pytest.raises(ValueError, match="the environment of service a has 1066704 bytes, more"):
        made(any_app.as_toml({"services": {"a": {"env": env}}}))


def test_a_given_variable_with_which_linux_starts_no_program_is_told() -> None:
    def given(bytes_of_value: int) -> Options:
        return Options(image="i", environment={"CERTS": "é" + "x" * (bytes_of_value - 2)})

    longest = 128 * 1024 - len("CERTS=") - len("\0")
    assert variables("[services.a]", options=given(longest))["CERTS"]
    with pytest.raises(
        ValueError, match="service a has 131072 bytes, more than the 131071"
    ) as told:
        made("[services.a]", options=given(longest + 1))
    assert str(told.value).startswith("CERTS in the environment of")


# Ports


def test_a_service_is_told_its_port_unless_it_has_a_port_variable() -> None:
    assert variables("[services.web]") == {"PORT": "3000"}
    assert variables("[services.a]", "port = 80") == {"PORT": "80"}
    assert variables("[services.a]") == {}
    own = ("[services.a]", "port = 80", "[[services.a.env]]", 'key = "PORT"', 'value = "81"')
    assert variables(*own) == {"PORT": "81"}
    [warning] = parse("\n".join(['name = "shop"', *own])).warnings
    assert warning.key == "services.a.env[0]"
    same = "\n".join(['name = "shop"', *own]).replace('"81"', '"80"')
    assert parse(same).warnings == ()


@pytest.mark.parametrize(
    ("kind", "port", "probed"),
    [
        ("http", {"port": 80, "appProtocol": "http"}, True),
        ("https", {"port": 80, "appProtocol": "https"}, True),
        ("grpc", {"port": 80, "appProtocol": "kubernetes.io/h2c"}, True),
        ("tcp", {"port": 80}, True),
        ("udp", {"port": 80, "protocol": "UDP"}, False),
    ],
)
def test_each_port_type_is_served_and_probed_in_its_way(
    kind: str, port: Manifest, probed: bool
) -> None:
    lines = ("[services.a]", "port = 80", f'port_type = "{kind}"')
    assert one("Service", *lines)["spec"]["ports"] == [port]
    built = container(*lines)
    protocol = {"protocol": "UDP"} if kind == "udp" else {}
    assert built["ports"] == [{"containerPort": 80, **protocol}]
    assert ("readinessProbe" in built) == probed


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("http", "http"),
        ("My API!", "my-api"),
        ("a-name-of-twenty-one", "a-name-of-twent"),
        ("a-name-of-some-length", "a-name-of-some"),
        ("7", ""),
    ],
)
def test_a_port_name_becomes_one_that_kubernetes_allows(name: str, shown: str) -> None:
    lines = ("[services.a]", "port = 80", f'port_name = "{name}"')
    [port] = one("Service", *lines)["spec"]["ports"]
    assert port.get("name", "") == shown


def test_a_service_without_a_port_is_found_at_its_pods() -> None:
    spec = one("Service", "[services.a]")["spec"]
    assert spec["clusterIP"] == "None"
    assert "ports" not in spec
    assert "readinessProbe" not in container("[services.a]")


# Names such as db.app.miren

HOSTS = {
    "postgresql://go:pw@db.app.miren/x": "postgresql://go:pw@shop-db/x",
    "db.app.miren:5432,DB.App.Miren": "shop-db:5432,shop-db",
    "http://db.app.miren./": "http://shop-db/",
    "see db.app.miren.": "see shop-db.",
    "db.app.miren.": "shop-db",
    "db.app.miren.,DB.app.miren.": "shop-db,shop-db",
    "x.db.app.miren": "x.db.app.miren",
    "db.app.miren.example": "db.app.miren.example",
    "my-db.app.miren": "my-db.app.miren",
    "db.app.mirens": "db.app.mirens",
    "db_app.miren db-app.miren": "db_app.miren db-app.miren",
}


@pytest.mark.parametrize(("text", "address"), HOSTS.items())
def test_miren_names_of_services_become_their_addresses(text: str, address: str) -> None:
    lines = ("[services.db]", f"command = '{text}'", "[[env]]", 'key = "A"', f"value = '{text}'")
    assert container(*lines)["command"][2] == address
    assert variables(*lines) == {"A": address}


def test_services_whose_names_differ_only_in_case_keep_their_own() -> None:
    text = "db.app.miren DB.app.miren"
    found = made("[services.db]", "[services.DB]", f'command = "{text}"')
    names = [each["metadata"]["name"] for each in found if each["kind"] == "Service"]
    [command] = [
        built["command"][2]
        for each in found
        if each["kind"] == "Deployment"
        for built in each["spec"]["template"]["spec"]["containers"]
        if "command" in built
    ]
    assert command == f"shop-db {next(name for name in names if name != 'shop-db')}"


def test_a_name_of_no_service_is_warned_about_and_stays() -> None:
    lines = ("[services.web]", "[[env]]", 'key = "A"', 'value = "http://bd.app.miren/"')
    [warning] = parse("\n".join(['name = "shop"', *lines])).warnings
    assert str(warning) == (
        'app.toml:5:1: env[0].value: names "bd.app.miren", but the app has no such service; '
        "its services are web"
    )
    assert variables(*lines)["A"] == "http://bd.app.miren/"


def test_addresses_that_are_known_are_given_to_all_pods() -> None:
    known = Options(image="shop:1", cluster_ips={"web": "10.0.0.2", "db": "10.0.0.1"})
    assert pod("[services.db]", options=known)["hostAliases"] == [
        {"ip": "10.0.0.1", "hostnames": ["db.app.miren"]},
        {"ip": "10.0.0.2", "hostnames": ["web.app.miren"]},
    ]
    assert "hostAliases" not in pod("[services.db]")


def test_addresses_are_given_as_kubernetes_takes_them() -> None:
    # Host names are lower case there; a headless Service says "None".
    known = Options(
        image="shop:1",
        cluster_ips={"Web": "10.0.0.2", "DB": "10.0.0.3", "db": "10.0.0.1", "bot": "None"},
    )
    assert pod("[services.a]", options=known)["hostAliases"] == [
        {"ip": "10.0.0.1", "hostnames": ["db.app.miren"]},
        {"ip": "10.0.0.2", "hostnames": ["web.app.miren"]},
    ]
    none = Options(image="shop:1", cluster_ips={"bot": "None"})
    assert "hostAliases" not in pod("[services.a]", options=none)


# Instances


def test_a_fixed_service_has_its_number_of_instances() -> None:
    many = ("[services.a.concurrency]", "num_instances = 3")
    assert one("Deployment", *many)["spec"]["replicas"] == 3
    # Said also where it is Kubernetes' default: an autoscaler of before may have left another.
    assert one("Deployment", "[services.a]")["spec"]["replicas"] == 1


def test_an_auto_service_is_scaled_by_the_load_of_its_cpu() -> None:
    lines = ("[services.a.concurrency]", 'mode = "auto"', "requests_per_instance = 7")
    scaler = one("HorizontalPodAutoscaler", *lines, 'scale_down_delay = "90s"')
    assert scaler["spec"]["maxReplicas"] == 10
    assert scaler["spec"]["behavior"]["scaleDown"]["stabilizationWindowSeconds"] == 90
    assert scaler["metadata"]["annotations"] == {"disk.miren.dev/requests-per-instance": "7"}
    assert "replicas" not in one("Deployment", *lines)["spec"]
    assert container(*lines)["resources"]["requests"] == {"cpu": "100m"}


def test_a_delay_longer_than_kubernetes_allows_is_cut_and_warned_about() -> None:
    lines = ("[services.a.concurrency]", 'mode = "auto"', 'scale_down_delay = "2h"')
    scaler = one("HorizontalPodAutoscaler", *lines)
    assert scaler["spec"]["behavior"]["scaleDown"]["stabilizationWindowSeconds"] == 3600
    [warning] = parse("\n".join(['name = "shop"', *lines])).warnings
    assert warning.key == "services.a.concurrency.scale_down_delay"


def test_miren_older_concurrency_is_warned_about() -> None:
    [warning] = parse('name = "shop"\nconcurrency = 3').warnings
    assert "has no effect" in str(warning)


@pytest.mark.parametrize(
    ("timeout", "deadline"), [("5m", 900), ("1h", 4200), ("2562047h", 2**31 - 1)]
)
def test_a_rollout_may_take_as_long_as_the_wait_for_its_disk(timeout: str, deadline: int) -> None:
    spec = one("Deployment", *disk("a", f'lease_timeout = "{timeout}"'))["spec"]
    assert spec["strategy"] == {"type": "Recreate"}
    assert spec["progressDeadlineSeconds"] == deadline


def test_a_service_without_a_miren_disk_is_replaced_without_a_gap() -> None:
    spec = one("Deployment", *disk("a", 'provider = "local"'))["spec"]
    assert {"strategy", "progressDeadlineSeconds"}.isdisjoint(spec)


# Disks


def test_a_service_has_its_disks_at_their_paths() -> None:
    spec = pod(*disk("a", "read_only = true"))
    assert spec["volumes"] == [
        {"name": "data", "persistentVolumeClaim": {"claimName": "data", "readOnly": True}}
    ]
    [built] = spec["containers"]
    assert built["volumeMounts"] == [{"name": "data", "mountPath": "/data", "readOnly": True}]


def test_a_folder_at_two_paths_is_one_volume_writable_where_it_should_be() -> None:
    read = ('provider = "local"', "read_only = true")
    second = ["[[services.a.disks]]", 'name = "data"', 'mount_path = "/w"', 'provider = "local"']
    spec = pod(*disk("a", *read), *second)
    [volume] = spec["volumes"]
    assert "readOnly" not in volume["persistentVolumeClaim"]
    mounts = {
        each["mountPath"]: each.get("readOnly", False)
        for each in spec["containers"][0]["volumeMounts"]
    }
    assert mounts == {"/data": True, "/w": False}


@pytest.mark.parametrize(
    ("pin", "key", "value"),
    [
        (Options().pin, "disk.miren.dev/coordinator", "true"),
        (Pin.to_node("n1"), "topology.disk.csi.miren.dev/node", "n1"),
        (Pin("zone", "a"), "zone", "a"),
    ],
    ids=["coordinator", "node", "label"],
)
def test_a_disk_pins_all_services_where_its_volume_is(pin: Pin, key: str, value: str) -> None:
    options = Options(image="shop:1", pin=pin)
    found = made(*disk("db"), "[services.web]", options=options)
    terms = [{"matchExpressions": [{"key": key, "operator": "In", "values": [value]}]}]
    required = "requiredDuringSchedulingIgnoredDuringExecution"
    pods = [each["spec"]["template"]["spec"] for each in found if each["kind"] == "Deployment"]
    assert [each["affinity"]["nodeAffinity"][required]["nodeSelectorTerms"] for each in pods] == [
        terms,
        terms,
    ]
    assert found[0]["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"] == terms


def test_an_app_without_disks_runs_anywhere() -> None:
    assert "affinity" not in pod("[services.a]")


# The command after an import


def test_post_import_runs_the_apps_image_once_with_its_environment() -> None:
    job = one("Job", 'post_import = "bin/setup"', "[[env]]", 'key = "A"', 'value = "1"')
    assert job["metadata"]["name"].startswith("shop-post-import-")
    spec = job["spec"]["template"]["spec"]
    assert spec["restartPolicy"] == "Never"
    [built] = spec["containers"]
    assert (built["image"], built["command"][2]) == ("shop:1", "bin/setup")
    secret = built["envFrom"][0]["secretRef"]["name"]
    assert secret.startswith("shop-post-import-")


def test_post_import_finds_services_and_has_what_the_command_line_sets() -> None:
    lines = ('post_import = "nc db.app.miren 5432"', "[services.db]", "port = 5432")
    found = made(*lines, options=Options(image="shop:1", environment={"A": "set"}))
    [job] = (each for each in found if each["kind"] == "Job")
    [built] = job["spec"]["template"]["spec"]["containers"]
    assert built["command"][2] == "nc shop-db 5432"
    name = built["envFrom"][0]["secretRef"]["name"]
    [secret] = (each for each in found if each["metadata"]["name"] == name)
    assert base64.b64decode(secret["data"]["A"]) == b"set"


def test_post_import_has_the_local_disks_of_web_but_no_miren_disk() -> None:
    files = ["[[services.web.disks]]", 'name = "f"', 'mount_path = "/f"', 'provider = "local"']
    job = one("Job", 'post_import = "x"', *disk("web"), *files)
    [built] = job["spec"]["template"]["spec"]["containers"]
    assert [mount["mountPath"] for mount in built["volumeMounts"]] == ["/f"]


def test_post_import_runs_again_for_another_image_and_only_then() -> None:
    def name(options: Options, command: str = "bin/setup") -> str:
        job = one("Job", f'post_import = "{command}"', options=options)
        return str(job["metadata"]["name"])

    first = name(Options(image="shop:1"))
    assert name(Options(image="shop:1")) == first
    assert name(Options(image="shop:2")) != first
    assert name(Options(image="shop:1"), "bin/other") != first
    # A deployment knows addresses only after it has looked which objects there are.
    assert name(Options(image="shop:1", cluster_ips={"web": "10.0.0.1"})) == first


# What has no effect


def test_how_the_image_is_built_has_no_effect() -> None:
    build = ('include = ["a"]', "[build]", 'version = "1"', 'dockerfile = "D"', "[services.a]")
    assert made(*build) == made("[services.a]")


def test_only_the_services_are_all_but_the_disks() -> None:
    app = parse("\n".join(['name = "shop"', *disk("db")]))
    assert translate(app, IMAGE)[2:] == translate_services(app, IMAGE)
