"""Which lake is in use, and with which key.

In this order: what ``connect`` said, the environment (``DREAMLAKE_URL``, or ``DREAMLAKE_BSS_URL`` and
``DREAMLAKE_REMOTE`` apart; ``DREAMLAKE_API_KEY``), ``~/.dreamlake/config.toml`` (``url``, ``bss_url``, ``remote``,
``api_key``), and else the embedded lake in ``~/.dreamlake/lake``. ``DREAMLAKE_STORAGE`` or ``storage`` in the file puts
the bytes of that one elsewhere, such as ``s3://bucket/prefix``; ``DREAMLAKE_DATABASE`` or ``database`` does so with its
database, such as ``postgresql://user:password@host/name``. ``DREAMLAKE_HOME`` moves ``~/.dreamlake``, and
``DREAMLAKE_CACHE_BYTES`` bounds what is kept there of remote videos.

The engine is another service, with variables of its own: ``DREAM_BASE_URL`` and ``DREAM_API_KEY``.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from dreamlake.core.targets import shown_database
from dreamlake.errors import ConfigError, InvalidTargetError, UsageError

__all__ = [
    "EMBEDDED_URL", "ENGINE_URL", "EngineAddress", "LakeAddress", "cache_bytes", "connect", "current_lake",
    "engine_at", "home", "lake_at", "log_in", "storage_location",
]  # fmt: skip

EMBEDDED_URL = "http://embedded.dreamlake"
ENGINE_URL = "http://localhost:10434"
CACHE_BYTES = 10 * 10**9
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True)
class LakeAddress:
    """Where a lake is.

    Attributes:
        bss_url: of the storage service.
        remote: of the catalog.
        data: the folder of an embedded lake; None for a server.
        storage: where an embedded lake keeps its bytes; None for its folder.
        database: the URL of an embedded lake's database; None for a file in its folder.
        api_key: sent to both; None without one.
    """

    bss_url: str
    remote: str
    data: Path | None = None
    api_key: str | None = field(default=None, repr=False)
    storage: str | None = None
    database: str | None = field(default=None, repr=False)  # it may hold a password

    @property
    def host(self) -> str:
        """What stands in ``bss://`` URIs: host and port of the storage service, nothing for an embedded lake."""
        return "" if self.data is not None else urlsplit(self.bss_url).netloc

    def __str__(self) -> str:
        if self.data is None:
            return self.bss_url
        over = f" over {self.storage}" if self.storage else ""
        kept = f" with {shown_database(self.database)}" if self.database else ""
        return f"the embedded lake in {self.data}{over}{kept}"


@dataclass(frozen=True)
class EngineAddress:
    """Where an engine is.

    Attributes:
        url: without a slash at its end.
        api_key: None without one.
    """

    url: str
    api_key: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        return self.url


def engine_at(base_url: str | None, api_key: str | None) -> EngineAddress:
    """The engine that is named, or that the environment names, or one on this machine.

    Args:
        base_url: None for ``DREAM_BASE_URL``.
        api_key: None for ``DREAM_API_KEY``.

    Raises:
        UsageError: not a URL.
    """
    url = base_url or os.environ.get("DREAM_BASE_URL") or ENGINE_URL
    try:
        return EngineAddress(_url(url), api_key or os.environ.get("DREAM_API_KEY") or None)
    except InvalidTargetError:
        raise UsageError(f"{url!r} is not the URL of an engine, such as {ENGINE_URL}") from None


_connected: LakeAddress | None = None


def home() -> Path:
    """``~/.dreamlake``, or what ``DREAMLAKE_HOME`` says."""
    return Path(os.environ.get("DREAMLAKE_HOME") or Path.home() / ".dreamlake").expanduser().absolute()


def cache_bytes() -> int:
    """How many bytes of remote videos are kept on disk: ``DREAMLAKE_CACHE_BYTES``, or 10 GB; 0 keeps none.

    Raises:
        ConfigError: the variable is no number.
    """
    text = os.environ.get("DREAMLAKE_CACHE_BYTES") or str(CACHE_BYTES)
    if not text.isascii() or not text.isdigit():
        raise ConfigError(f"DREAMLAKE_CACHE_BYTES is a number of bytes, such as 10000000000, not {text!r}")
    return int(text)


def connect(
    url: str | None = None,
    *,
    api_key: str | None = None,
    data: str | os.PathLike[str] | None = None,
    storage: str | None = None,
) -> LakeAddress:
    """Choose the lake that this process uses from now on, over environment and configuration file.

    Args:
        url: of a server, such as ``http://localhost:10234``.
        api_key: for that server.
        data: the folder of an embedded lake, instead of a server. Without url, data and storage the choice is given
            back to environment and configuration file.
        storage: where the embedded lake keeps its bytes, such as ``s3://bucket/prefix?endpoint=…``, instead of in its
            folder. A lake has one storage for good, and a storage has one lake.

    Returns:
        The lake that is in use now. Nothing is sent to it yet.

    Raises:
        UsageError: both a url and a folder or a storage.

    Example:
        >>> dl.connect("http://lab-server:10234", api_key="dlk_…")
    """
    global _connected
    if url is not None and (data is not None or storage is not None):
        raise UsageError("connect takes the url of a server or the folder and storage of an embedded lake, not both")
    if url is not None:
        _connected = LakeAddress(_url(url), _url(url), api_key=api_key)
    elif data is not None or storage is not None:
        _connected = _embedded(home() / "lake" if data is None else Path(data), storage)
    else:
        _connected = None
    return current_lake()


def log_in(url: str, api_key: str) -> Path:
    """Have ``~/.dreamlake/config.toml`` name a server and its key, and nobody else read it.

    Args:
        url: of the server.
        api_key: for it.

    Returns:
        The file. What else it says stays.

    Raises:
        UsageError: it is not TOML.
    """
    _file_settings()
    path = home() / "config.toml"
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    tables = next((number for number, line in enumerate(lines) if line.lstrip().startswith("[")), len(lines))
    named = re.compile(r"\s*(url|bss_url|remote|api_key)\s*=")
    kept = [line for line in lines[:tables] if not named.match(line)]
    said = [f"url = {json.dumps(_url(url))}", f"api_key = {json.dumps(api_key)}"]
    temporary = path.with_name(f".config.{secrets.token_hex(8)}")
    temporary.touch(mode=0o600)
    try:
        temporary.write_text("\n".join([*kept, *said, *lines[tables:], ""]), encoding="utf-8")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def current_lake() -> LakeAddress:
    """The lake in use."""
    return _connected or _configured(os.environ)


def lake_at(host: str) -> LakeAddress:
    """The lake that a ``bss://`` URI names; the key is only sent where it is configured for."""
    current = current_lake()
    if host == current.host:
        return current
    if not host:
        return _own_lake(_settings(os.environ))
    try:
        loopback = urlsplit(f"//{host}").hostname in LOOPBACK
    except ValueError as error:
        raise InvalidTargetError(f"bss://{host}: {error}") from None
    url = f"{'http' if loopback else 'https'}://{host}"
    return LakeAddress(url, url)


def storage_location(text: str | None) -> str | None:
    """Where a lake keeps its bytes: a URL as it is, a folder as an absolute path; None when nothing is said."""
    if not text:
        return None
    return text if "://" in text else str(Path(text).expanduser().absolute())


def _settings(environment: Mapping[str, str]) -> dict[str, str]:
    settings = _file_settings()
    for name in ("url", "bss_url", "remote", "api_key", "storage", "database"):
        if value := environment.get(f"DREAMLAKE_{name.upper()}"):
            settings[name] = value
            if name == "url":  # a server from the environment is not mixed with one from the file
                settings.pop("bss_url", None)
                settings.pop("remote", None)
    return settings


def _configured(environment: Mapping[str, str]) -> LakeAddress:
    settings = _settings(environment)
    bss = settings.get("bss_url") or settings.get("url")
    remote = settings.get("remote") or settings.get("url") or bss
    if not bss and remote:
        raise UsageError("DREAMLAKE_REMOTE names the catalog; DREAMLAKE_BSS_URL must name the storage service too")
    if not bss or not remote:
        return _own_lake(settings)
    return LakeAddress(_url(bss), _url(remote), api_key=settings.get("api_key"))


def _file_settings() -> dict[str, str]:
    path = home() / "config.toml"
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not TOML: {error}") from None
    return {key: value for key, value in content.items() if isinstance(value, str)}


def _own_lake(settings: Mapping[str, str]) -> LakeAddress:
    return _embedded(home() / "lake", settings.get("storage"), settings.get("database"))


def _embedded(data: Path, storage: str | None, database: str | None = None) -> LakeAddress:
    folder = data.expanduser().absolute()
    place = storage_location(storage)
    return LakeAddress(EMBEDDED_URL, EMBEDDED_URL, data=folder, storage=place, database=database)


def _url(text: str) -> str:
    url = text if "://" in text else f"http://{text}"
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise InvalidTargetError(f"{text!r} is not the URL of a lake, such as http://localhost:10234")
    return url.rstrip("/")
