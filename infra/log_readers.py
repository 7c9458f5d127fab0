"""Which log tools read, and what is discarded of it: the cluster's if the settings name one, else that of the data
folder."""

from __future__ import annotations

from infra.layout import log_file
from infra.settings import Settings
from infra.sqlite.log_reader import SqliteLogReader
from infra.sqlite.operators import Operators
from streams.batch import Discards
from streams.log_reader import LogReader


def open_log_reader(settings: Settings) -> LogReader:
    """Beside whoever writes. Blocks while it asks. Raises NoLog, Unavailable."""
    if settings.kafka:
        from infra.kafka.log_reader import KafkaLogReader

        return KafkaLogReader(",".join(settings.kafka))
    return SqliteLogReader(log_file(settings.data))


def discards_of(settings: Settings) -> Discards:
    """Opens nothing yet."""
    if settings.kafka:
        from infra.kafka.discards import KafkaDiscards

        return KafkaDiscards(",".join(settings.kafka))
    return Operators(settings.data)
