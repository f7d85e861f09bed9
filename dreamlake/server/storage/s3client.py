"""A bucket of an S3 store: requests whose failures are ours, and signed URLs.

Endpoint, region, profile and credentials are found as AWS's own tools find them; a location may say the first two.
"""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote, urlencode

from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession
from aiohttp import ClientError as ConnectionProblem
from anyio import to_thread
from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError, IncompleteReadError
from botocore.exceptions import ConnectionError as NoConnection
from botocore.loaders import create_loader

from dreamlake.errors import ConfigError
from dreamlake.server.storage.base import URL_SECONDS, StorageDown, key_parts, unknown_upload
from dreamlake.server.storage.s3location import parse_location

__all__ = ["Bucket", "S3Refusal", "failures"]

_TRANSPORT = (NoConnection, HTTPClientError, IncompleteReadError, ConnectionProblem, TimeoutError)
_BUSY = {"SlowDown", "RequestTimeout", "ServiceUnavailable", "InternalError", "Throttling", "RequestLimitExceeded"}
_loader = create_loader()  # it keeps the descriptions of S3, which take a tenth of a second to read, for all clients
_SAFE = "-_.~"  # what stays as it is in a signed URL (AWS Signature Version 4)
_ANY = "any"  # a key, to find the address of the bucket by


class S3Refusal(OSError):
    """The store refused a request that should have been right.

    Attributes:
        code: of S3, such as AccessDenied.
    """

    def __init__(self, number: int, message: str, code: str) -> None:
        super().__init__(number, message)
        self.code = code


class Bucket:
    """One bucket, or what begins with one prefix in it.

    Args:
        location: as ``parse_location`` takes it.
        scratch: a folder of this machine for temporary files.

    Raises:
        ConfigError: a location that cannot be meant.
    """

    page = 1000  # of a listing; S3 gives no more

    def __init__(self, location: str, scratch: Path) -> None:
        self._where = parse_location(location)
        self._scratch = scratch
        self._open = AsyncExitStack()
        self._client: Any = None
        self._credentials: Any = None
        self._address: str | None = None  # what the URLs of objects begin with

    @property
    def location(self) -> str:
        return str(self._where)

    @property
    def scratch(self) -> Path:
        return self._scratch

    async def __aenter__(self) -> Self:
        await to_thread.run_sync(lambda: self._scratch.mkdir(parents=True, exist_ok=True))
        where = self._where
        try:
            session = AioSession()
            session.register_component("data_loader", _loader)
            self._credentials = await session.get_credentials()
            if self._credentials is None:
                raise ConfigError(
                    f"{where.short} needs credentials: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile of AWS"
                )
            endpoint = where.endpoint or _configured_endpoint(session)
            path_style = bool(endpoint) if where.path_style is None else where.path_style
            config = AioConfig(
                signature_version="s3v4",
                # Over plain HTTP and over TLS alike, the store refuses bytes that are not those we signed.
                s3={"addressing_style": "path" if path_style else "auto", "payload_signing_enabled": True},
                # Stores that are not AWS's refuse the checksums that botocore adds on its own.
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
                retries={"mode": "standard", "total_max_attempts": 3},
                connect_timeout=5,
                read_timeout=60,
                max_pool_connections=32,
            )
            client = session.create_client("s3", region_name=where.region, endpoint_url=endpoint, config=config)
            self._client = await self._open.enter_async_context(client)
        except (BotoCoreError, ValueError) as error:
            raise ConfigError(f"{where.short} cannot be used: {error}") from error
        try:
            await self._check()
        except BaseException:
            await self._open.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._open.aclose()

    async def engine_place(self, name: str) -> tuple[str, dict[str, str]]:
        credentials = await self._credentials.get_frozen_credentials()
        config = self._client.meta
        virtual = (config.config.s3 or {}).get("addressing_style") != "path"
        options = {
            "aws_access_key_id": credentials.access_key,
            "aws_secret_access_key": credentials.secret_key,
            "aws_region": config.region_name or "us-east-1",
            "aws_endpoint": config.endpoint_url,
            "aws_virtual_hosted_style_request": "true" if virtual else "false",
            "allow_http": "true" if config.endpoint_url.startswith("http://") else "false",
        }
        if virtual:  # where object_store expects the bucket in the endpoint
            options["aws_endpoint"] = config.endpoint_url.replace("://", f"://{self._where.bucket}.", 1)
        if credentials.token:
            options["aws_session_token"] = credentials.token
        # No namespace begins with a dot.
        return f"s3://{self._where.bucket}/{self._where.prefix}.{name}", options

    async def _check(self) -> None:
        """Say now, and not at the first upload, that the bucket cannot be used."""
        where = self._where
        try:
            await self._call("list_objects_v2", Prefix=where.prefix, MaxKeys=1)
        except S3Refusal as error:
            reason = "there is no such bucket" if error.code == "NoSuchBucket" else error.strerror
            raise ConfigError(f"{where.short} cannot be used: {reason}") from error

    def _name(self, key: str) -> str:
        """The key of an object as the store has it."""
        return self._where.prefix + "/".join(key_parts(key))

    async def _call(self, operation: str, **parameters: Any) -> dict[str, Any]:
        """One request about the bucket.

        Raises:
            FileNotFoundError: no such object.
            UnknownUploadError: no such upload.
            StorageDown: no answer, or a failure that may pass.
            S3Refusal: any other answer that says no.
        """
        with failures(self._where.short):
            answer: dict[str, Any] = await getattr(self._client, operation)(Bucket=self._where.bucket, **parameters)
        return answer

    async def _sign(self, operation: str, parameters: dict[str, Any]) -> str:
        """A URL for one request of botocore's, good for ``URL_SECONDS``."""
        with failures(self._where.short):
            url: str = await self._client.generate_presigned_url(
                operation, {"Bucket": self._where.bucket, **parameters}, URL_SECONDS
            )
        return url

    async def _sign_put(self, key: str, query: Mapping[str, str | int], payload: str) -> str:
        """A URL to PUT one body to, good for ``URL_SECONDS``; signed here, because botocore would take any body.

        Args:
            key: of the object, as the store has it.
            query: what the URL says of the upload.
            payload: SHA-256 in hex of the body.
        """
        with failures(self._where.short):
            if self._address is None:
                url = await self._sign("put_object", {"Key": _ANY})
                self._address = url.partition(f"{_ANY}?")[0]
            credentials = await self._credentials.get_frozen_credentials()
        said = urlencode({**query, "X-Amz-Content-Sha256": payload}, quote_via=quote, safe=_SAFE)
        request = AWSRequest("PUT", f"{self._address}{quote(key, safe='/' + _SAFE)}?{said}")
        region = self._client.meta.region_name
        _PayloadAuth(credentials, "s3", region, expires=URL_SECONDS, digest=payload).add_auth(request)
        signed: str = request.url
        return signed


def _configured_endpoint(session: AioSession) -> str | None:
    named = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    return named or session.get_scoped_config().get("endpoint_url") or None


class _PayloadAuth(S3SigV4QueryAuth):  # type: ignore[misc]  # (botocore has no types)
    """Signs a URL for one payload, where botocore's own signs for any."""

    def __init__(self, *arguments: Any, digest: str, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._digest = digest

    def payload(self, request: AWSRequest) -> str:  # noqa: ARG002 (botocore's signature)
        return self._digest


@contextmanager
def failures(where: str) -> Iterator[None]:
    """Raise what botocore raises as the errors of a storage."""
    try:
        yield
    except ClientError as error:
        raise _refusal(error, where) from error
    except _TRANSPORT as error:
        raise StorageDown(errno.EIO, f"{where} does not answer: {_text(error)}") from error
    except BotoCoreError as error:
        raise S3Refusal(errno.EIO, f"{where}: {error}", type(error).__name__) from error


def _refusal(error: ClientError, where: str) -> Exception:
    said = error.response.get("Error", {})
    code, message = str(said.get("Code", "")), str(said.get("Message", ""))
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    text = f"{where}: the store answered {code}: {message}".rstrip(": ")
    if code == "NoSuchUpload":
        return unknown_upload()
    if code in ("NoSuchKey", "404", "NotFound"):
        return FileNotFoundError(errno.ENOENT, text)
    if status in (429, 500, 502, 503, 504) or code in _BUSY:
        return StorageDown(errno.EIO, text)
    return S3Refusal(errno.EACCES if status == 403 else errno.EIO, text, code)


def _text(error: BaseException) -> str:
    return "it took too long" if isinstance(error, asyncio.TimeoutError) else str(error) or type(error).__name__
