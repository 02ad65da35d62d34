"""Volume ids of local disks: both parts become folders, so nothing may lead out of them."""

import pytest

from csi import local_id
from csi.errors import InvalidRequest


def test_an_id_has_an_app_and_a_name() -> None:
    found = local_id.parse("local/shop-2/Data")

    assert (found.app, found.name) == ("shop-2", "Data")
    assert str(found) == "local/shop-2/Data"


@pytest.mark.parametrize(
    "volume_id",
    [
        "pgdata",
        "local",
        "local/",
        "local/shop",
        "local/shop/",
        "local//data",
        "local/shop/data/",
        "local/shop/data/more",
        "local/../data",
        "local/shop/..",
        "local/shop/.",
        "local/shop/-data",
        "local/shop/data-",
        "local/shop/da ta",
        "local/shop/data\n",
        "local/shop/dätä",
        "Local/shop/data",
    ],
)
def test_anything_else_is_refused(volume_id: str) -> None:
    with pytest.raises(InvalidRequest, match="is not the id of a local disk"):
        local_id.parse(volume_id)


def test_ids_are_told_from_names() -> None:
    assert local_id.is_local("local/shop/data")
    assert local_id.is_local("local/../etc")
    assert not local_id.is_local("pgdata")
    assert not local_id.is_local("local")
