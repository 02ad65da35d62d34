"""Which volumes of a pod are disks, and which of its containers have them."""

from deploy.operate.mounting import _of_pod


def test_disks_of_all_kinds_of_claims_and_containers_are_found() -> None:
    data, logs = {"name": "data"}, {"name": "logs"}
    pod = {
        "metadata": {"namespace": "shop", "name": "db-0"},
        "spec": {
            "nodeName": "node-1",
            "volumes": [
                {**data, "persistentVolumeClaim": {"claimName": "pgdata"}},
                {**logs, "ephemeral": {"volumeClaimTemplate": {}}},
                {"name": "tmp", "emptyDir": {}},
            ],
            "initContainers": [
                {"name": "over", "volumeMounts": [{**data, "mountPath": "/was"}]},
                {
                    "name": "shipper",
                    "restartPolicy": "Always",
                    "volumeMounts": [{**logs, "mountPath": "/logs", "readOnly": True}],
                },
            ],
            "containers": [
                {
                    "name": "db",
                    "volumeMounts": [
                        {**data, "mountPath": "/data"},
                        {"name": "tmp", "mountPath": "/tmp"},
                    ],
                    "volumeDevices": [{**logs, "devicePath": "/dev/logs"}],
                },
            ],
        },
    }

    found = [*_of_pod(pod, {"shop/pgdata": "pgdata", "shop/db-0-logs": "pvc-1"})]

    assert [(one.disk, one.container, one.path, one.claim) for one in found] == [
        ("pvc-1", "shipper", "/logs", "db-0-logs"),
        ("pgdata", "db", "/data", "pgdata"),
        ("pvc-1", "db", "/dev/logs", "db-0-logs"),
    ]
    assert [one.read_only for one in found] == [True, False, False]
