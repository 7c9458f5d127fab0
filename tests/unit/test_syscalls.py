"""The reader of strace's output, on output as strace writes it: the crash test's verdict hangs on it."""

from __future__ import annotations

from tests.support.syscalls import durable_before_told, read_calls

WAL = "/data/log.db-wal"
ID = "0199-message"

PAGE = f'7  pwrite64(5<{WAL}>, "\\r\\0{{\\"message_id\\":\\"{ID}\\"", 4096, 56) = 4096'
OTHER_PAGE = '7  pwrite64(5</data/views.db-wal>, "0199-message", 4096, 56) = 4096'
SYNC = f"7  fdatasync(5<{WAL}>) = 0"
SYNC_BEGINS = f"7  fdatasync(5<{WAL}> <unfinished ...>"
SYNC_ENDS = "7  <... fdatasync resumed>) = 0"
ACK = f'8  write(9<socket:[77]>, "\\201\\"type\\":\\"ack\\",\\"message_id\\":\\"{ID}\\"", 90) = 90'
UNRELATED = '8  write(9<socket:[77]>, "pong", 4) = 4'


def verdict(*lines: str) -> str | None:
    return durable_before_told(read_calls(list(lines)), WAL, ID)


def test_an_ack_after_the_sync_is_right() -> None:
    assert verdict(UNRELATED, OTHER_PAGE, PAGE, SYNC, ACK) is None
    assert verdict(PAGE, SYNC_BEGINS, UNRELATED, SYNC_ENDS, ACK) is None


def test_an_ack_while_the_sync_runs_is_wrong() -> None:
    assert verdict(PAGE, SYNC_BEGINS, ACK, SYNC_ENDS) == "told in line 2, synced in line 3"


def test_a_sync_before_the_write_does_not_count() -> None:
    assert verdict(SYNC, PAGE, ACK) == "the log was not synced after it"
    assert verdict(SYNC_BEGINS, PAGE, SYNC_ENDS, ACK) == "the log was not synced after it"


def test_a_failed_or_foreign_sync_does_not_count() -> None:
    failed = f"7  fdatasync(5<{WAL}>) = -1 EIO (Input/output error)"
    foreign = "7  fdatasync(6</data/views.db-wal>) = 0"
    assert verdict(PAGE, failed, foreign, ACK) == "the log was not synced after it"


def test_what_was_not_written_or_not_told_is_no_evidence() -> None:
    assert verdict(OTHER_PAGE, SYNC, ACK) == "it was not written to the log"
    assert verdict(PAGE, SYNC) == "it was told to nobody"
