from __future__ import annotations

import pytest

from tests.live.chats.test_marks import *  # noqa: F403

pytestmark = [pytest.mark.needs("kafka", "cassandra", "redis", "postgres"), pytest.mark.timeout(240)]

del test_in_chats_of_over_100_members_status_stays_sent  # noqa: F821  # is slow, and about nothing that the stores do
