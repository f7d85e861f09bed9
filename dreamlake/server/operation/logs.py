"""The server's log: lines for people or JSON for machines, each with the id of its request, and none with a secret."""

from __future__ import annotations

import logging
import re
import secrets
import sys
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Literal, TextIO

import msgspec

__all__ = ["LogFormat", "redact", "request_id", "sane_request_id", "start_logging"]

LogFormat = Literal["json", "text"]

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
"""The id of the request that is being answered, or that has asked for the job that is being executed."""

_SANE = re.compile(r"[A-Za-z0-9._:-]{1,64}")
LIBRARIES = (
    "PIL", "aiobotocore", "aiosqlite", "alembic", "asyncio", "asyncpg", "botocore", "httpcore", "httpx", "sqlalchemy",
    "uvicorn",
)  # fmt: skip
_HIDDEN = "***"
_SECRETS = (
    re.compile(r"(dlk_)[A-Za-z0-9_-]+"),
    re.compile(r"((?:signature|x-amz-credential|x-amz-security-token)(?:=|%3D))[^&\s\"'<>\\]+", re.IGNORECASE),
    # As in a header, in a dictionary of headers, and in a list of pairs; the scheme may stay.
    re.compile(
        r"(authorization\\?[\"']?\s*[:=,]\s*(?:b(?=\\?[\"']))?\\?[\"']?(?:(?:bearer|basic|aws4-hmac-sha256)\s+)?)[^\s\"'\\)}\]]+",
        re.IGNORECASE,
    ),
    re.compile(r"(\b(?:bearer|basic)\s+)[A-Za-z0-9._~+/=-]{6,}", re.IGNORECASE),
    re.compile(r"(://[^/\s:@]*:)[^/\s@]+(?=@)"),  # the password in a database's URL
)
_SIGNS = ("dlk_", "signature", "x-amz-", "authorization", "bearer", "basic", "://")  # without one there is no secret
_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), 127) if chr(code) not in "\t\n"}
_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "request_id", "color_message", "taskName"}


def sane_request_id(given: bytes | None) -> str:
    """The id that a client has given its request, if it is one that a log can bear; else a new one."""
    text = (given or b"").decode("latin-1")
    return text if _SANE.fullmatch(text) else secrets.token_hex(8)


def redact(text: str) -> str:
    """The text without signatures, API keys, passwords and what authorizes."""
    lower = text.lower()
    if not any(sign in lower for sign in _SIGNS):
        return text  # nearly every line: each request has one, and the expressions are slow
    for secret in _SECRETS:
        text = secret.sub(rf"\1{_HIDDEN}", text)
    return text


def start_logging(form: LogFormat | None, level: str) -> None:
    """Write the log of this process to stderr.

    Args:
        form: of the lines; None for text on a terminal, and JSON elsewhere.
        level: the least that is written: debug, info, warning or error.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(_formatter(form or _fitting(sys.stderr)))
    handler.addFilter(_with_request_id)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # What libraries tell about each of their steps is no event of the lake's.
    for library in LIBRARIES:
        logging.getLogger(library).setLevel(max(logging.WARNING, root.level))


def _fitting(stream: TextIO) -> LogFormat:
    return "text" if stream.isatty() else "json"


def _formatter(form: LogFormat) -> logging.Formatter:
    return JsonLines() if form == "json" else TextLines("%(asctime)s %(levelname)s %(name)s: %(message)s")


def _with_request_id(record: logging.LogRecord) -> bool:
    if getattr(record, "request_id", None) is None:
        record.request_id = request_id.get()
    return True


class JsonLines(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": redact(record.getMessage()),
        }
        if (known := getattr(record, "request_id", None)) is not None:
            line["requestId"] = known
        for name, value in vars(record).items():
            if name not in _OWN:
                line[name] = value if isinstance(value, int | float | None) else redact(str(value))
        if record.exc_info:
            line["error"] = redact(self.formatException(record.exc_info))
        return msgspec.json.encode(line).decode()


class TextLines(logging.Formatter):
    """Lines for people; what a stranger has named cannot begin a line of its own."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 (the name that logging calls)
        record.message = record.message.translate(_CONTROLS).replace("\n", "\\n")
        line = super().formatMessage(record)
        known = getattr(record, "request_id", None)
        return f"{line} [{known}]" if known else line

    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record))
