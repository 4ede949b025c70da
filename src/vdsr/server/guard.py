"""Before and after every request: who it is, how often, what is logged, which headers go out."""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import secrets
import time
from dataclasses import dataclass

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vdsr.server import problems
from vdsr.server.metrics import Metrics
from vdsr.server.settings import ServerSettings

_log = logging.getLogger("vdsr.server.access")

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:;"
    " connect-src 'self'; font-src 'self'; form-action 'none'; base-uri 'none';"
    " frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
}
# Anybody may ask whether the server lives, and load the page.
_OPEN = ("/v1/healthz", "/v1/readyz", "/healthz", "/readyz")
_BURST_SECONDS = 10.0
# Clients that are remembered for their rates.
_MOST_CLIENTS = 10_000


class Rates:
    """A bucket of tokens for each client.

    Args:
        rate: requests a second; None for no limit.
    """

    def __init__(self, rate: float | None) -> None:
        self._rate = rate
        self._buckets: dict[str, tuple[float, float]] = {}

    def wait(self, client: str, now: float) -> float:
        """Seconds until this client may ask; 0 if now, which counts."""
        if self._rate is None:
            return 0.0
        most = max(1.0, self._rate * _BURST_SECONDS)
        left, since = self._buckets.pop(client, (most, now))
        left = min(most, left + (now - since) * self._rate)
        allowed = left >= 1.0
        self._buckets[client] = (left - allowed, now)
        if len(self._buckets) > _MOST_CLIENTS:  # the one that was silent longest
            self._buckets.pop(next(iter(self._buckets)))
        return 0.0 if allowed else (1.0 - left) / self._rate


@dataclass(frozen=True)
class Guard:
    """Middleware around the whole application.

    Attributes:
        app: what is guarded.
        settings, metrics: see there.
        rates: of the clients.
    """

    app: ASGIApp
    settings: ServerSettings
    metrics: Metrics
    rates: Rates

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start, status = time.monotonic(), 499
        request_id = secrets.token_hex(8)
        client = self._client(scope)
        scope.setdefault("state", {}).update(id=request_id, client=client or "")

        async def send_guarded(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                headers["x-request-id"] = request_id
                if scope["path"].startswith("/v1"):
                    headers.setdefault("cache-control", "no-store")
            await send(message)

        refused = self._refusal(scope, client, request_id)
        try:
            await (refused or self.app)(scope, receive, send_guarded)
        finally:
            self._told(scope, status, time.monotonic() - start, request_id)

    def _client(self, scope: Scope) -> str | None:
        """Who asks: a token, or an address; None for a token that is not known, or none."""
        if not self.settings.tokens:
            return str((scope.get("client") or ("unknown", 0))[0])
        given = dict(scope["headers"]).get(b"authorization", b"")
        scheme, _, token = given.partition(b" ")
        digest = hashlib.sha256(token.strip()).digest()
        # All are compared, whichever it is, so that the time says nothing.
        known = [hmac.compare_digest(digest, one) for one in self.settings.tokens]
        allowed = scheme.lower() == b"bearer" and any(known)
        return f"token {digest.hex()[:16]}" if allowed else None

    def _refusal(self, scope: Scope, client: str | None, request_id: str) -> ASGIApp | None:
        path = scope["path"]
        if scope["method"] == "OPTIONS" or path in _OPEN:
            return None
        needs_token = path.startswith("/v1") or path == "/metrics"
        if not needs_token:
            return None
        address = str((scope.get("client") or ("unknown", 0))[0])
        wait = self.rates.wait(client or address, time.monotonic())
        if wait > 0:
            retry = {"Retry-After": str(max(1, round(wait)))}
            return problems.answer(request_id, 429, "too many requests: slow down", retry)
        if client is None:
            said = "a token is needed: send 'Authorization: Bearer TOKEN'"
            return problems.answer(request_id, 401, said, {"WWW-Authenticate": "Bearer"})
        return None

    def _told(self, scope: Scope, status: int, seconds: float, request_id: str) -> None:
        route = getattr(scope.get("route"), "path", "other")
        method = scope["method"] if scope["method"] in _METHODS else "other"
        self.metrics.requests.labels(method, route, str(status)).inc()
        line = {
            "request": request_id,
            "method": method,
            "route": route,
            "status": status,
            "ms": round(1000 * seconds, 1),
            "client": scope["state"]["client"],
        }
        _log.info(json.dumps(line))


_METHODS = ("GET", "POST", "DELETE", "HEAD", "OPTIONS", "PUT", "PATCH")
