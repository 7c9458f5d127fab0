"""What brokers say of offsets in the midst of an election."""

from __future__ import annotations

import pytest
from confluent_kafka import OFFSET_INVALID
from confluent_kafka.admin import ListOffsetsResultInfo

from commands.errors import Unavailable
from infra.kafka.client import offset_of


def test_an_offset_that_is_none_is_not_an_end() -> None:
    """Taken for one, it lay before what the views have: workers held them for those of another log, and ended."""
    assert offset_of(ListOffsetsResultInfo(0, 1_700_000_000_000, 1)) == 0
    with pytest.raises(Unavailable):
        offset_of(ListOffsetsResultInfo(OFFSET_INVALID, -1, -1))
