"""Which partition a chat lives in: Kafka's own murmur2, so that every client agrees.

Source: Apache Kafka's `BuiltInPartitioner.partitionForKey` (librdkafka calls it `murmur2_random`).
"""

from __future__ import annotations

_MASK = 0xFFFFFFFF
_M = 0x5BD1E995


def murmur2(key: bytes) -> int:
    """The 32-bit hash of `key`, unsigned."""
    length = len(key)
    h = (0x9747B28C ^ length) & _MASK
    whole = length & ~3
    for start in range(0, whole, 4):
        k = int.from_bytes(key[start : start + 4], "little") * _M & _MASK
        k = (k ^ k >> 24) * _M & _MASK
        h = (h * _M & _MASK) ^ k
    if length & 3:
        h = (h ^ int.from_bytes(key[whole:], "little")) * _M & _MASK
    h = (h ^ h >> 13) * _M & _MASK
    return h ^ h >> 15


def partition_of(chat_id: str, partitions: int) -> int:
    """The partition, 0 to `partitions` - 1, that holds all events of a chat."""
    return 0 if partitions == 1 else (murmur2(chat_id.encode()) & 0x7FFFFFFF) % partitions
