from __future__ import annotations

import pytest

from tests.live.chats.test_messages import *  # noqa: F403

pytestmark = [pytest.mark.needs("kafka", "cassandra", "redis", "postgres"), pytest.mark.timeout(240)]
