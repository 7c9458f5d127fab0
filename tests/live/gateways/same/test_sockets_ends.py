from __future__ import annotations

import pytest

from tests.live.sockets.test_ends import *  # noqa: F403

pytestmark = [pytest.mark.needs("kafka", "cassandra", "redis", "postgres"), pytest.mark.timeout(240)]

del test_a_draining_server_says_reconnect_then_1012  # noqa: F821  # has a server of its own
