"""Google's push service by its own library: see `streams.push.ports.Provider`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import firebase_admin
from firebase_admin import _http_client, credentials, exceptions, messaging
from google.auth.exceptions import GoogleAuthError
from google.auth.transport.requests import Request

from commands.errors import Invalid
from infra.push.retry_after import seconds
from streams.push.apart import sent_apart
from streams.push.ports import Outcome, Push

logger = logging.getLogger(__name__)

AT_ONCE = 100
"""The library takes 500, but more than a connection carries at once only wait for each other's timeouts."""
ANSWER_S = 10.0
RENEW_BEFORE = timedelta(minutes=5)
_LATER = (
    exceptions.ResourceExhaustedError,
    exceptions.UnavailableError,
    exceptions.InternalError,
    exceptions.DeadlineExceededError,
    exceptions.AbortedError,
    exceptions.CancelledError,
)
_NOT_OURS = (exceptions.UnauthenticatedError, exceptions.PermissionDeniedError, messaging.ThirdPartyAuthError)


class Fcm:
    """Access tokens are fetched here, in a thread: the library would hold up the event loop for it."""

    def __init__(
        self, account: Path, now: Callable[[], datetime], *, url: str | None = None, answer_s: float = ANSWER_S
    ) -> None:
        """`account`: the key file of a service account. `url`: instead of Google's. Raises Invalid."""
        try:
            certificate = credentials.Certificate(str(account))
        except (OSError, ValueError) as error:
            raise Invalid(f"{account} is no key file of a Google service account: {error}") from error
        self._now = now
        self._app = firebase_admin.initialize_app(certificate, {"httpTimeout": answer_s}, name=f"tidings-{id(self)}")
        self._credential: Any = certificate.get_credential()
        self._renewing = asyncio.Lock()
        self._refused = False
        """Whether Google did not believe the access token, however fresh it looks."""
        self._service: Any = messaging._get_messaging_service(self._app)
        if url is not None:
            self._service._fcm_url = f"{url}/v1/projects/{self._app.project_id}/messages:send"
        # Repeats are our queues' business: the library's own would hold up a whole batch.
        never = _http_client.HttpxRetry(max_retries=0)
        self._service._async_client = _http_client.HttpxAsyncClient(timeout=answer_s, retry_config=never)

    async def send(self, pushes: Sequence[Push]) -> list[Outcome]:
        found: list[Outcome] = []
        for start in range(0, len(pushes), AT_ONCE):
            some = pushes[start : start + AT_ONCE]
            try:
                await self._renew()
            except (GoogleAuthError, TimeoutError) as error:
                logger.error("Google gives no access token: %s", error)
                found += [Outcome("busy", f"no access token: {error}") for _ in some]
            else:
                found += await sent_apart(self._send, some)
        return found

    async def close(self) -> None:
        await self._service._async_client.aclose()
        # It runs an event loop of its own for what has just been closed.
        await asyncio.to_thread(firebase_admin.delete_app, self._app)

    async def _send(self, pushes: Sequence[Push]) -> list[Outcome]:
        messages = [self._message(push) for push in pushes]
        try:
            # Said aloud, because here the library's default is to only pretend.
            answer = await messaging.send_each_async(messages, dry_run=False, app=self._app)
        except exceptions.FirebaseError as error:
            if isinstance(error.cause, ValueError | TypeError):
                # One of them cannot be written, and all were given up before any was sent.
                raise error.cause from error
            return [self._outcome(error) for _ in pushes]
        return [Outcome("sent") if each.success else self._outcome(each.exception) for each in answer.responses]

    async def _renew(self) -> None:
        """Raises GoogleAuthError, TimeoutError."""
        async with self._renewing:
            expiry = self._credential.expiry  # UTC, without saying so
            if not self._refused and expiry and expiry - self._now().replace(tzinfo=None) > RENEW_BEFORE:
                return
            async with asyncio.timeout(ANSWER_S):
                await asyncio.to_thread(self._credential.refresh, Request())
            self._refused = False
            self._credential.apply(self._service._fcm_headers)

    def _message(self, push: Push) -> Any:
        left = push.expires_at - self._now()
        message = messaging.Message(
            notification=messaging.Notification(title=push.title, body=push.body),
            data={"chat_id": push.chat_id, "seq": str(push.seq), "message_id": push.message_id},
            android=messaging.AndroidConfig(
                collapse_key=push.chat_id,
                priority="high",
                ttl=max(timedelta(), left),
                notification=messaging.AndroidNotification(tag=push.chat_id, notification_count=push.badge),
            ),
            webpush=messaging.WebpushConfig(
                headers={"TTL": str(max(0, int(left.total_seconds())))},
                notification=messaging.WebpushNotification(tag=push.chat_id),
            ),
        )
        # Not given above, where the library warns that installation ids are to follow tokens: clients have tokens.
        message.token = push.device.token
        return message

    def _outcome(self, error: Any) -> Outcome:
        """What an error of the library means."""
        said = str(error)
        response = getattr(error, "http_response", None)
        after = seconds(None if response is None else response.headers.get("retry-after"), self._now)
        if isinstance(error, messaging.UnregisteredError | messaging.SenderIdMismatchError):
            return Outcome("gone", said)
        if isinstance(error, exceptions.InvalidArgumentError):
            return Outcome("gone" if "registration token" in said else "refused", said)
        if isinstance(error, _NOT_OURS):
            # Where a fresh token does not help, this is for the operator to mend; what there is to say waits.
            self._refused = True
            logger.error("Google refuses our account: %s", said)
            return Outcome("busy", said, after)
        if isinstance(error, _LATER) or response is None:
            return Outcome("busy", said, after)
        return Outcome("busy" if response.status_code >= 500 else "refused", said, after)
