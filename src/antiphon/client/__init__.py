"""The toolkit: resilience, handling and tools for applications that call any Responses endpoint with the official SDK.

    from openai import AsyncOpenAI
    from antiphon.client import AsyncClient

    client = AsyncClient(AsyncOpenAI(), breaker=True, deadline=60)

Needs the extra `antiphon[openai]`.
"""

from __future__ import annotations

from antiphon.client.batch import BatchResult
from antiphon.client.cache import Cache, replayed_from
from antiphon.client.chat import AsyncChatCompletions, AsyncChatStream, ChatCompletions, ChatStream
from antiphon.client.client import AsyncClient, Client
from antiphon.client.costs import Budget, Costs
from antiphon.client.errors import (
    AuthenticationFailed,
    BadRequest,
    BudgetExceeded,
    CircuitOpen,
    ClientError,
    Conflict,
    ConnectionFailed,
    ContentFlagged,
    DeadlineExceeded,
    ModerationFailed,
    NotFound,
    OptionError,
    PermissionDenied,
    QuotaExceeded,
    RateLimited,
    ResponseCancelled,
    ResponseFailed,
    ServerFailed,
    StatusError,
    StreamCut,
    StreamFailed,
    StreamMalformed,
    TimedOut,
    ToolsFailed,
    Unprocessable,
)
from antiphon.client.functions import ToolError
from antiphon.client.handler import StreamHandler, on
from antiphon.client.moderation import Moderation
from antiphon.client.moderators import Moderations, RuleList
from antiphon.client.monitor import RequestLog
from antiphon.client.monitor_otel import OpenTelemetryObserver
from antiphon.client.monitor_prometheus import PrometheusObserver
from antiphon.client.optimiser import Optimiser
from antiphon.client.options import RetrySettings
from antiphon.client.records import BudgetAlert
from antiphon.client.runner import Called, Run
from antiphon.client.stream import AsyncResponseStream, ResponseStream
from antiphon.policy.breaker import BreakerSettings

__all__ = [
    "AsyncChatCompletions",
    "AsyncChatStream",
    "AsyncClient",
    "AsyncResponseStream",
    "AuthenticationFailed",
    "BadRequest",
    "BatchResult",
    "BreakerSettings",
    "Budget",
    "BudgetAlert",
    "BudgetExceeded",
    "Cache",
    "Called",
    "ChatCompletions",
    "ChatStream",
    "CircuitOpen",
    "Client",
    "ClientError",
    "Conflict",
    "ConnectionFailed",
    "ContentFlagged",
    "Costs",
    "DeadlineExceeded",
    "Moderation",
    "ModerationFailed",
    "Moderations",
    "NotFound",
    "OpenTelemetryObserver",
    "Optimiser",
    "OptionError",
    "PermissionDenied",
    "PrometheusObserver",
    "QuotaExceeded",
    "RateLimited",
    "RequestLog",
    "ResponseCancelled",
    "ResponseFailed",
    "ResponseStream",
    "RetrySettings",
    "RuleList",
    "Run",
    "ServerFailed",
    "StatusError",
    "StreamCut",
    "StreamFailed",
    "StreamHandler",
    "StreamMalformed",
    "TimedOut",
    "ToolError",
    "ToolsFailed",
    "Unprocessable",
    "on",
    "replayed_from",
]
