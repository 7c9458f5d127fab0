"""A chat's members who are connected here, and what they are told, entry by entry.

Whoever is in `here` is a member as of `cursor`; the seq stream alone changes that. So delivery needs no other
authority, and a chat in which nobody here has written yet needs no state but these two.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from datetime import datetime

import msgspec

from api.render import chat_shape, rfc3339
from api.ws.events import event_frame
from api.ws.frames import ChatFrame, Gone, Receipt, encode
from api.ws.local import Shared, User, spoiled
from commands.chat import MAX_BROADCAST_RECEIPTS, Chat, Member, evolve
from events.ids import unix_us
from events.types import ChatCreated, EventData, MemberAdded, MemberJoined, MemberLeft, MemberRemoved, MessageSent
from projections.ports import Entry, Moved
from projections.receipts import shown

log = logging.getLogger(__name__)

NOBODY_MUTES: Mapping[str, datetime] = {}


class Audience:
    """`chat` is the state exactly at `cursor`, None until somebody needs it. `ahead` is one that the views had
    and that becomes `chat` when the cursor gets there."""

    __slots__ = ("_shared", "ahead", "chat", "chat_id", "cursor", "here")

    def __init__(self, shared: Shared, chat_id: str, cursor: int) -> None:
        self._shared = shared
        self.chat_id = chat_id
        self.cursor = cursor
        self.here: dict[User, int] = {}
        """Member → the first seq that the member may see."""
        self.chat: Chat | None = None
        self.ahead: Chat | None = None

    def admit(self, user: User, visible_from: int) -> None:
        """The user is a member as of `cursor`."""
        self.here[user] = visible_from
        user.chats[self.chat_id] = self

    def dismiss(self, user: User) -> None:
        """The user is no longer a member, or no longer connected."""
        self.here.pop(user, None)
        user.chats.pop(self.chat_id, None)

    def adopt(self, state: Chat) -> None:
        """Take a state read from the views, unless it is older than what was released."""
        if state.seq == self.cursor:
            if self.chat is None:
                self.chat = state
        elif state.seq > self.cursor and (self.ahead is None or self.ahead.seq < state.seq):
            self.ahead = state

    @property
    def known(self) -> Chat | None:
        """The state at the cursor, or failing that a later one."""
        return self.chat or self.ahead

    def newcomers(self, data: EventData) -> list[User]:
        """Users connected here whom this event makes members."""
        if isinstance(data, ChatCreated):
            joining: Iterable[str] = data.member_ids
        elif isinstance(data, MemberJoined | MemberAdded):
            joining = (data.user_id,)
        else:
            return []
        users = self._shared.users
        found = (users.get(user_id) for user_id in joining)
        return [user for user in found if user is not None and user not in self.here]

    def release(self, entry: Entry, data: EventData, mutes: Mapping[str, datetime] = NOBODY_MUTES) -> None:
        """Take in the entry after `cursor` and tell everybody here. `mutes`: newcomer → end of the chat's mute.

        A newcomer is welcome only if the state is known: see `newcomers`.
        """
        self._advance(entry, data)
        self._shared.counters.events += 1
        is_message = type(data) is MessageSent  # nearly always, and then nobody comes or goes
        if not is_message and self.known is not None:
            for user in self.newcomers(data):
                try:
                    self._welcome(user, entry.seq, mutes.get(user.user_id))
                except Exception:
                    for session in user.sessions:
                        spoiled(session)
        if self.here:
            counters = self._shared.counters
            self._tell(event_frame(entry, data, self._shared.sealer, counters), entry.seq)
            counters.deliveries.observe(self._shared.clock() - entry.at_us / 1_000_000)
            if not is_message and isinstance(data, MemberLeft | MemberRemoved):
                self._see_off(data.user_id, entry.seq)

    def mark(self, row: Moved) -> None:
        """Somebody's watermarks moved. Needs a known state."""
        state = self.known
        member = None if state is None else state.members.get(row.user_id)
        if state is None or member is None:
            return
        delivered = max(member.delivered_seq, row.delivered_seq)
        read = max(member.read_seq, row.read_seq)
        if (delivered, read) != (member.delivered_seq, member.read_seq):
            state.members[row.user_id] = msgspec.structs.replace(member, delivered_seq=delivered, read_seq=read)
        if len(state.members) <= MAX_BROADCAST_RECEIPTS:
            self._tell_marks(row.user_id, delivered, read)

    def _tell_marks(self, user_id: str, delivered: int, read: int) -> None:
        """To each as far as they may see: a mark below that reads as none."""
        everything = encode(Receipt(self.chat_id, user_id, delivered, read))
        for user, visible_from in self.here.items():
            if delivered < visible_from:
                continue
            frame = everything
            if read < visible_from:
                frame = encode(Receipt(self.chat_id, user_id, delivered, shown(read, visible_from)))
            for session in user.sessions:
                try:
                    session.link.send(frame)
                except Exception:
                    spoiled(session)

    def _advance(self, entry: Entry, data: EventData) -> None:
        self.cursor = entry.seq
        state = self.chat
        if state is not None:
            try:
                evolve(state, entry.actor_id, data, entry.at_us)
            except KeyError:
                log.exception(
                    "the state of chat %s does not fit its event %d: dropped",
                    self.chat_id,
                    entry.seq,
                    extra={"chat_id": self.chat_id, "seq": entry.seq},
                )
                self.chat = None
            else:
                state.offset = entry.offset
        if self.ahead is not None and self.ahead.seq <= entry.seq:
            if self.chat is None and self.ahead.seq == entry.seq:
                self.chat = self.ahead
            self.ahead = None

    def _tell(self, frame: bytes, seq: int) -> None:
        chat_id = self.chat_id
        for user in self.here:
            for session in user.sessions:
                catching = session.catching
                try:
                    if catching is None or catching.takes(chat_id, seq):
                        session.link.send(frame)
                except Exception:
                    spoiled(session)

    def _welcome(self, user: User, seq: int, muted_until: datetime | None) -> None:
        state = self.known
        member = None if state is None else state.members.get(user.user_id)
        if state is None or member is None or member.joined_seq != seq:
            return  # by now the user has left again, or left and come back: that later arrival is the one to tell
        self.admit(user, member.visible_from)
        if not user.sessions:
            return
        frame = self.introduction(state, member, muted_until)
        for session in user.sessions:
            try:
                if session.catching is None or session.catching.arrives(self.chat_id, seq, frame):
                    session.link.send(frame)
            except Exception:
                spoiled(session)

    def introduction(self, state: Chat, member: Member, muted_until: datetime | None) -> bytes:
        """The `chat` frame for a new member."""
        muted = None if muted_until is None else rfc3339(unix_us(muted_until))
        return encode(ChatFrame(chat_shape(state, member, muted, len(state.members), state.members.values())))

    def _see_off(self, user_id: str, seq: int) -> None:
        user = self._shared.users.get(user_id)
        if user is None or user not in self.here:
            return
        self.dismiss(user)
        frame = encode(Gone(self.chat_id))
        for session in user.sessions:
            try:
                if session.catching is None or session.catching.departs(self.chat_id, seq):
                    session.link.send(frame)
            except Exception:
                spoiled(session)
