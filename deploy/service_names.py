"""The names of the Kubernetes objects of a service, and of its address.

Service objects have the strictest rules, RFC 1035 labels:
https://kubernetes.io/docs/concepts/overview/working-with-objects/names/
"""

from csi.object_names import hashed_name, object_name


def service_name(app: str, service: str) -> str:
    """Return what all objects of a service are called, and its host name in the namespace.

    `APP-SERVICE` where that is valid and means no other service: the hyphen of app "a-b" and
    service "c" is not that of app "a" and service "b-c". Else it ends with a hash.
    """
    plain = f"{app}-{service}"
    if not plain[0].isalpha():
        plain = f"app-{plain}"
    elif "-" not in service and object_name(plain) == plain:
        return plain
    return hashed_name(plain, of=f"{app}/{service}")
