"""Files in S3, or in another server with the same protocol. The only module that imports botocore.

Credentials are the organization's own keys. Without them, they are found as AWS tools find them: in variables like
AWS_ACCESS_KEY_ID, a profile, or the machine's role.
"""

import errno
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any, BinaryIO

import botocore.exceptions
from botocore.config import Config
from botocore.session import Session

from dcmon import errors, file_errors
from dcmon.ingestion.files import locations, path_pattern
from dcmon.ingestion.files.locations import AccessKeys, FileEntry, Page, Proceed
from dcmon.settings import S3

BLOCK_BYTES = 2**20
CREDENTIAL_ERRORS = (
    botocore.exceptions.NoCredentialsError,
    botocore.exceptions.PartialCredentialsError,
    botocore.exceptions.CredentialRetrievalError,
    botocore.exceptions.TokenRetrievalError,
    botocore.exceptions.ProfileNotFound,
)
SETTING_ERRORS = (botocore.exceptions.NoRegionError, ValueError, botocore.exceptions.ParamValidationError)
KEY_CHECK = Config(connect_timeout=5, read_timeout=10, retries={"mode": "standard", "total_max_attempts": 1})


@dataclass(frozen=True)
class Bucket:
    """A location of files: the objects of a bucket with a prefix; with `pattern`, only those that match.

    `keys`: those of the organization; None: those of the process.
    """

    bucket: str
    prefix: str
    settings: S3
    pattern: tuple[str, ...] = ()
    keys: AccessKeys | None = None

    @cached_property
    def _client(self) -> Any:
        patience = Config(connect_timeout=5, read_timeout=30, retries={"mode": "standard", "total_max_attempts": 3})
        return _client(self.settings, self.keys, patience)

    def pages(self) -> Iterator[Page]:
        """See locations.Location."""
        with self._translated():
            listing = self._client.get_paginator("list_objects_v2")
            for listed in listing.paginate(Bucket=self.bucket, Prefix=self.prefix):
                page = Page([], [])
                for listed_object in listed.get("Contents", ()):
                    self._add(page, listed_object)
                yield page

    def _add(self, page: Page, listed: dict[str, Any]) -> None:
        path = listed["Key"][len(self.prefix) :]
        if locations.is_hidden(path):
            page.hidden.append(path)
        elif locations.is_loadable(path, listed["Size"]) and self._matches(path):
            # S3 lists an object only after it is complete.
            page.files.append(FileEntry(path, listed["ETag"].strip('"'), listed["LastModified"].timestamp()))

    def _matches(self, path: str) -> bool:
        return path_pattern.matches(PurePosixPath(path).parts, self.pattern)

    @contextmanager
    def fetch(self, path: str, proceed: Proceed = locations.proceed) -> Iterator[BinaryIO]:
        """See locations.Location. The object is copied first, so that a broken connection never returns half a file.

        The copy needs room on the disk: a larger object than the settings allow is refused with InvalidInput.
        """
        with tempfile.TemporaryFile(prefix="dcmon-") as copy:
            with self._translated(path):
                response = self._client.get_object(Bucket=self.bucket, Key=self.prefix + path)
                self._require_small(response["ContentLength"])
                for block in response["Body"].iter_chunks(BLOCK_BYTES):
                    proceed()
                    copy.write(block)
                    self._require_small(copy.tell())
                copy.seek(0)
            yield copy

    def _require_small(self, size: int) -> None:
        """Raise InvalidInput for an object that is too large."""
        if size > self.settings.max_object_bytes:
            raise errors.InvalidInput(
                f"The object has {size:,} bytes or more. DCMON_S3__MAX_OBJECT_BYTES allows"
                f' {self.settings.max_object_bytes:,}; after a change, "dcmon source scan --retry" tries it again.'
            )

    @contextmanager
    def _translated(self, path: str | None = None) -> Iterator[None]:
        """Translate botocore's exceptions to dcmon's errors."""
        where = self.settings.endpoint_url or "AWS"
        try:
            yield
        except botocore.exceptions.ClientError as error:
            raise self._client_error(error, where, path) from error
        except CREDENTIAL_ERRORS as error:
            raise self._refusal(where, str(error)) from error
        except SETTING_ERRORS as error:
            raise errors.InvalidInput(
                f"The request to S3 is not valid: {error} Check DCMON_S3__ENDPOINT_URL and DCMON_S3__REGION."
            ) from error
        except botocore.exceptions.BotoCoreError as error:
            raise errors.Unreachable(what="S3", where=where, reason=str(error)) from error
        except OSError as error:  # last, because some of botocore's exceptions are OSErrors too
            if error.errno != errno.ENOSPC:
                raise
            raise errors.DiskFull(where=tempfile.gettempdir()) from error

    def _client_error(self, error: botocore.exceptions.ClientError, where: str, path: str | None) -> errors.DcmonError:
        details = error.response.get("Error", {})
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        code, reason = details.get("Code", ""), details.get("Message") or str(error)
        if code == "NoSuchBucket":
            return errors.NotFound(what="bucket", name=self.bucket)
        if status == 404 or code == "NoSuchKey":
            return errors.NotFound(what="object", name=path or self.prefix)
        if status in (401, 403) and path is not None and code == "AccessDenied":
            return file_errors.FileRefused(path=path, reason=reason)
        if status in (400, 401, 403):
            return self._refusal(where, reason)
        return errors.Unreachable(what="S3", where=where, reason=f"it answered {status}: {reason}")

    def _refusal(self, where: str, reason: str) -> errors.DcmonError:
        refused = file_errors.StorageRefused if self.keys is None else file_errors.OwnKeysRefused
        return refused(where=where, reason=reason.rstrip("."))


def _client(settings: S3, keys: AccessKeys | None, patience: Config) -> Any:
    endpoint = settings.endpoint_url
    # Self-hosted servers rarely have a DNS name for each bucket.
    addressing = Config(s3={"addressing_style": "path" if endpoint else "auto"})
    return Session().create_client(
        "s3",
        region_name=settings.region if keys is None else keys.region,
        endpoint_url=endpoint,
        config=patience.merge(addressing),
        aws_access_key_id=None if keys is None else keys.access_key_id,
        aws_secret_access_key=None if keys is None else keys.secret_access_key,
    )


def require_known(keys: AccessKeys, settings: S3) -> None:
    """Ask the server whether it knows keys. Raises OwnKeysRefused or Unreachable.

    A server that knows keys may refuse to list the buckets (AccessDenied): reading one bucket needs no such permission.
    """
    account = Bucket("", "", settings, keys=keys)
    with account._translated():
        try:
            _client(settings, keys, KEY_CHECK).list_buckets()
        except botocore.exceptions.ClientError as error:
            if error.response.get("Error", {}).get("Code") != "AccessDenied":
                raise


def parse(url: str, settings: S3, keys: AccessKeys | None = None) -> Bucket | None:
    """Return the bucket and prefix of s3://bucket/prefix, or a pattern; None if the URL is of another kind."""
    bucket, _, prefix = url.removeprefix("s3://").partition("/")
    if not url.startswith("s3://") or not bucket:
        return None
    pattern: tuple[str, ...] = ()
    if path_pattern.is_pattern(prefix):
        prefix, pattern = path_pattern.split(prefix)
    return Bucket(bucket, prefix if not prefix or prefix.endswith("/") else f"{prefix}/", settings, pattern, keys)
