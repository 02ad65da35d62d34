"""thin_dump's and thin_delta's XML becomes extents in bytes, joined and clipped."""

import io

from controller import thin_metadata
from csi.disk import Extent

DUMP = """<superblock uuid="" time="3" transaction="9" data_block_size="128" nr_data_blocks="9">
  <device dev_id="4" mapped_blocks="5" transaction="4" creation_time="1" snap_time="3">
    <single_mapping origin_block="0" data_block="7" time="0"/>
    <range_mapping origin_begin="1" data_begin="20" length="2" time="1"/>
    <range_mapping origin_begin="9" data_begin="30" length="2" time="1"/>
  </device>
</superblock>
"""
DELTA = """<superblock uuid="" time="3" transaction="9" data_block_size="128" nr_data_blocks="9">
  <diff left="1" right="2">
    <same begin="0" length="4"/>
    <different begin="4" length="1"/>
    <left_only begin="5" length="1"/>
    <same begin="6" length="1"/>
    <right_only begin="7" length="2"/>
  </diff>
</superblock>
"""
BLOCK = 64 * 1024


def test_neighbouring_mappings_become_one_extent() -> None:
    found = list(thin_metadata.mappings(io.StringIO(DUMP), size=100 * BLOCK))
    assert found == [Extent(0, 3 * BLOCK), Extent(9 * BLOCK, 2 * BLOCK)]


def test_the_last_block_is_clipped_to_the_volume() -> None:
    found = list(thin_metadata.mappings(io.StringIO(DUMP), size=10 * BLOCK + 4096))
    assert found[-1] == Extent(9 * BLOCK, BLOCK + 4096)


def test_whatever_is_not_the_same_has_changed() -> None:
    found = list(thin_metadata.differences(io.StringIO(DELTA), size=100 * BLOCK))
    assert found == [Extent(4 * BLOCK, 2 * BLOCK), Extent(7 * BLOCK, 2 * BLOCK)]


def test_an_empty_volume_has_no_extents() -> None:
    empty = "".join(line for line in DUMP.splitlines(keepends=True) if "mapping" not in line)
    assert list(thin_metadata.mappings(io.StringIO(empty), size=BLOCK)) == []
