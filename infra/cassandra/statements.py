"""The statements on the tables of one generation. They name the keyspace, so one session serves several."""

from __future__ import annotations

from dataclasses import astuple, dataclass

from commands.chat import MAX_BROADCAST_RECEIPTS
from infra.cassandra.tables import ENTRY, HEAD, MEMBER

WHOLE = MAX_BROADCAST_RECEIPTS + 1
"""Members that `chats_in_short` reads of a chat. Where fewer come, those are all that ever were."""


@dataclass(frozen=True, slots=True)
class Writes:
    """Those that insert take the write time as their last value."""

    entry: str
    use: str
    membership: str
    refused: str
    parked: str
    file: str
    head: str
    member: str
    head_and_member: str
    position: str
    release: str
    """Takes the write time first; so do those after it."""
    unrefuse: str
    unmember: str

    @staticmethod
    def on(keyspace: str) -> Writes:
        def insert(table: str, columns: str) -> str:
            marks = ", ".join("?" for _ in columns.split(", "))
            return f"INSERT INTO {keyspace}.{table} ({columns}) VALUES ({marks}) USING TIMESTAMP ?"

        head = f"chat_id, member_count, {HEAD}"
        member = f"{MEMBER}, left_seq, offset"
        return Writes(
            entry=insert("timeline", f"chat_id, bucket, {ENTRY}"),
            use=insert("message_ids", "chat_id, week, message_id, seq, code, actor_id, offset"),
            membership=insert("chats_by_user", "user_id, chat_id, joined_seq, left_seq, offset"),
            refused=insert("refused", "chat_id, offset, partition, actor_id, code, message_id"),
            parked=insert("parked", "chat_id, offset, partition, error, value"),
            file=insert("files", "file_id, chat_id, seq, offset"),
            head=insert("chats", head),
            member=insert("chats", f"chat_id, {member}"),
            head_and_member=insert("chats", f"{head}, {member}"),
            position=insert("positions", "projection, partition, next_offset, incarnation"),
            release=f"DELETE FROM {keyspace}.parked USING TIMESTAMP ? WHERE chat_id = ? AND offset = ?",
            unrefuse=f"DELETE FROM {keyspace}.refused USING TIMESTAMP ? WHERE chat_id = ? AND offset = ?",
            unmember=f"DELETE FROM {keyspace}.chats USING TIMESTAMP ? WHERE chat_id = ? AND user_id = ?",
        )

    def all(self) -> tuple[str, ...]:
        return astuple(self)


@dataclass(frozen=True, slots=True)
class Reads:
    """Those that begin with `chat` give `chat_id, member_count, HEAD, left_seq, MEMBER`: a row a member, all with
    the head; one row with null for a member where there is none.
    """

    chat: str
    chat_rows: str
    """As `chat`, with the member's offset at the end."""
    chats: str
    chats_in_short: str
    chat_and_member: str
    marks_in: str
    """Of any of some chats, any of some members."""
    members: str
    last_seq: str
    activities: str
    """Of some chats."""
    chats_of: str
    chats_of_all: str
    listed: str
    """One chat in the lists of some users."""
    entries_up: str
    entries_down: str
    messages_up: str
    messages_down: str
    entry: str
    n: str
    at: str
    uses: str
    uses_in: str
    """Of any of some chats in a week, any of some ids."""
    refused: str
    refusals: str
    parked: str
    parked_of: str
    files: str
    file_in: str
    positions: str

    @staticmethod
    def on(keyspace: str) -> Reads:
        chat = f"SELECT chat_id, member_count, {HEAD}, left_seq, {MEMBER} FROM {keyspace}.chats"
        place = "WHERE chat_id = ? AND bucket = ?"
        span = f"SELECT {ENTRY} FROM {keyspace}.timeline {place} AND seq >= ? AND seq <= ?"
        # Filtering is within the one partition.
        messages = f"{span} AND type = 'message.sent'"
        return Reads(
            chat=f"{chat} WHERE chat_id = ?",
            chat_rows=(
                f"SELECT chat_id, member_count, {HEAD}, left_seq, {MEMBER}, offset FROM {keyspace}.chats "
                "WHERE chat_id = ?"
            ),
            chats=f"{chat} WHERE chat_id IN ?",
            chats_in_short=f"{chat} WHERE chat_id IN ? PER PARTITION LIMIT {WHOLE}",
            chat_and_member=f"{chat} WHERE chat_id = ? AND user_id = ?",
            marks_in=(
                f"SELECT chat_id, user_id, left_seq, last_n, read_n FROM {keyspace}.chats "
                "WHERE chat_id IN ? AND user_id IN ?"
            ),
            members=(
                f"SELECT {MEMBER} FROM {keyspace}.chats WHERE chat_id = ? AND user_id > ? AND left_seq = 0 "
                "LIMIT ? ALLOW FILTERING"
            ),
            last_seq=f"SELECT DISTINCT last_seq FROM {keyspace}.chats WHERE chat_id = ?",
            activities=f"SELECT DISTINCT chat_id, at_us FROM {keyspace}.chats WHERE chat_id IN ?",
            chats_of=f"SELECT chat_id, left_seq FROM {keyspace}.chats_by_user WHERE user_id = ?",
            listed=(
                f"SELECT user_id, joined_seq, left_seq, offset FROM {keyspace}.chats_by_user "
                "WHERE user_id IN ? AND chat_id = ?"
            ),
            chats_of_all=f"SELECT user_id, chat_id, left_seq FROM {keyspace}.chats_by_user WHERE user_id IN ?",
            entries_up=f"{span} ORDER BY seq ASC LIMIT ?",
            entries_down=f"{span} LIMIT ?",
            messages_up=f"{messages} ORDER BY seq ASC LIMIT ? ALLOW FILTERING",
            messages_down=f"{messages} LIMIT ? ALLOW FILTERING",
            entry=f"SELECT {ENTRY} FROM {keyspace}.timeline {place} AND seq = ?",
            n=f"SELECT n FROM {keyspace}.timeline {place} AND seq = ?",
            at=f"SELECT at_us FROM {keyspace}.timeline {place} AND seq = ?",
            uses=(
                f"SELECT message_id, seq, code, actor_id, offset FROM {keyspace}.message_ids "
                "WHERE chat_id = ? AND week = ? AND message_id IN ?"
            ),
            uses_in=(
                f"SELECT chat_id, message_id, seq, code, actor_id, offset FROM {keyspace}.message_ids "
                "WHERE chat_id IN ? AND week = ? AND message_id IN ?"
            ),
            refusals=(
                f"SELECT partition, offset, actor_id, code, message_id FROM {keyspace}.refused WHERE chat_id = ?"
            ),
            parked_of=f"SELECT partition, offset, error, value FROM {keyspace}.parked WHERE chat_id = ?",
            refused=(
                f"SELECT partition, offset, actor_id, code, message_id FROM {keyspace}.refused "
                "WHERE chat_id = ? AND offset = ?"
            ),
            parked=f"SELECT chat_id, offset FROM {keyspace}.parked PER PARTITION LIMIT 1",
            files=(
                f"SELECT file_id, chat_id, seq, offset FROM {keyspace}.files WHERE file_id = ? AND chat_id > ? LIMIT ?"
            ),
            file_in=f"SELECT file_id, seq, offset FROM {keyspace}.files WHERE file_id = ? AND chat_id = ?",
            positions=f"SELECT partition, next_offset, incarnation FROM {keyspace}.positions WHERE projection = ?",
        )

    def all(self) -> tuple[str, ...]:
        return astuple(self)
