"""The few HTTP calls of the live demo, over the standard library, off the event loop."""

from __future__ import annotations

import asyncio
import json
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

from infra.cli.faults import Fault

PATIENCE_S = 15


class Refused(Exception):
    """A problem document."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(detail or code)
        self.status = status
        self.code = code


class Http:
    """`url`: scheme, host and port."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        if not self.url.startswith(("http://", "https://")):
            raise Fault(f"{url} is not an address", "write it as http://127.0.0.1:8000", 2)

    def ws_url(self, user_id: str) -> str:
        """With the hint of who comes, for a load balancer."""
        return f"ws{self.url.removeprefix('http')}/v1/ws?{urlencode({'u': user_id})}"

    async def call(self, method: str, path: str, body: object = None, token: str = "", **query: str) -> Any:
        """The answer's JSON. Raises Refused, and Fault where no Tidings answers."""
        return await asyncio.to_thread(self._call, method, path, body, token, query)

    def _call(self, method: str, path: str, body: object, token: str, query: dict[str, str]) -> Any:
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
        url = f"{self.url}{path}{'?' + urlencode(query) if query else ''}"
        data = None if body is None else json.dumps(body).encode()
        try:
            with urlopen(Request(url, data, headers, method=method), timeout=PATIENCE_S) as answer:
                return json.loads(answer.read() or b"null")
        except HTTPError as error:
            with error:
                raise _refused(self.url, error) from error
        except (URLError, HTTPException, TimeoutError, ConnectionError, ValueError) as error:
            reason = error.reason if isinstance(error, URLError) else error
            raise Fault(
                f"no Tidings answers at {self.url} ({reason})", "start ./dev run, or name its address with --url"
            ) from error


def _refused(url: str, error: HTTPError) -> Exception:
    try:
        problem = json.loads(error.read())
        return Refused(error.code, problem["code"], problem["detail"])
    except (ValueError, KeyError, TypeError):
        return Fault(f"what answers at {url} is not Tidings ({error})", "name its address with --url")
