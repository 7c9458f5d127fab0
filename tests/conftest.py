"""What every test shares: Hypothesis profiles, and plugins that leave tests out and run JavaScript tests."""

import os

from hypothesis import HealthCheck, settings

pytest_plugins = [
    "pytester",
    "tests.support.needs",
    "tests.support.javascript",
    "tests.support.services",
    "tests.support.cassandra_views",
    "tests.support.cluster",
    "tests.support.s3",
    "tests.support.shards",
]

# No deadlines anywhere: how long one example takes says more about the machine than about the code.
settings.register_profile("dev", deadline=None)
settings.register_profile(
    "ci",
    deadline=None,
    derandomize=True,
    database=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("thorough", deadline=None, max_examples=2_000)
settings.load_profile("ci" if os.environ.get("CI") else "dev")  # --hypothesis-profile overrules
