"""The door to S3 and what speaks its protocol: which objects lie below a prefix, and their bytes.

Credentials come as for every tool of AWS: AWS_ACCESS_KEY_ID and its neighbours, a profile, the machine's role.
"""

import errno
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, BinaryIO
from urllib.parse import urlsplit

import botocore.exceptions as refusals
from botocore.config import Config
from botocore.session import Session

from dcmon import errors
from dcmon.ingestion.files import locations
from dcmon.ingestion.files.locations import Entry
from dcmon.settings import S3

BLOCK = 2**20
NO_CREDENTIALS = (
    refusals.NoCredentialsError,
    refusals.PartialCredentialsError,
    refusals.CredentialRetrievalError,
    refusals.TokenRetrievalError,
    refusals.ProfileNotFound,
)


@dataclass(frozen=True)
class Bucket:
    """The objects of a bucket below a prefix."""

    bucket: str
    prefix: str
    settings: S3

    @cached_property
    def _client(self) -> Any:
        own = self.settings.endpoint_url
        return Session().create_client(
            "s3",
            region_name=self.settings.region,
            endpoint_url=own,
            config=Config(
                connect_timeout=5,
                read_timeout=30,
                retries={"mode": "standard", "total_max_attempts": 3},
                # Servers of one's own seldom have a DNS name for each bucket.
                s3={"addressing_style": "path" if own else "auto"},
            ),
        )

    def pages(self) -> Iterator[list[Entry]]:
        """See dcmon.ingestion.files.locations.Place."""
        with self._in_words():
            listing = self._client.get_paginator("list_objects_v2")
            for page in listing.paginate(Bucket=self.bucket, Prefix=self.prefix):
                yield [entry for each in page.get("Contents", ()) for entry in self._entry(each)]

    def _entry(self, listed: dict[str, Any]) -> Iterator[Entry]:
        path = listed["Key"][len(self.prefix) :]
        if locations.is_wanted(path):
            # An object appears when it is whole: none is still being written.
            yield Entry(path, listed["ETag"].strip('"'), listed["LastModified"].timestamp())

    @contextmanager
    def fetch(self, path: str) -> Iterator[BinaryIO]:
        """See ingestion.files.locations.Place.

        A copy, so that a line that breaks costs a download and not half a file.
        """
        with tempfile.TemporaryFile(prefix="dcmon-") as copy:
            with self._in_words(path):
                body = self._client.get_object(Bucket=self.bucket, Key=self.prefix + path)["Body"]
                for block in body.iter_chunks(BLOCK):
                    copy.write(block)
                copy.seek(0)
            yield copy

    @contextmanager
    def _in_words(self, path: str | None = None) -> Iterator[None]:
        where = self.settings.endpoint_url or "AWS"
        try:
            yield
        except refusals.ClientError as error:
            raise self._refusal(error, where, path) from error
        except NO_CREDENTIALS as error:
            raise errors.StorageRefused(where=where, why=str(error).rstrip(".")) from error
        except (refusals.NoRegionError, ValueError, refusals.ParamValidationError) as error:
            raise errors.InvalidInput(f"S3 can't be asked: {error} Look at DCMON_S3__ENDPOINT_URL.") from error
        except refusals.BotoCoreError as error:
            raise errors.Unreachable(what="S3", where=where, why=str(error)) from error
        except OSError as error:  # last: some of botocore's are OSErrors too
            if error.errno != errno.ENOSPC:
                raise
            raise errors.DiskFull(where=tempfile.gettempdir()) from error

    def _refusal(self, error: refusals.ClientError, where: str, path: str | None) -> errors.DcmonError:
        said, status = error.response.get("Error", {}), error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        code, why = said.get("Code", ""), said.get("Message") or str(error)
        if code == "NoSuchBucket":
            return errors.NotFound(what="bucket", name=self.bucket)
        if status == 404 or code == "NoSuchKey":
            return errors.NotFound(what="object", name=path or self.prefix)
        if status in (401, 403) and path is not None and code == "AccessDenied":
            return errors.FileRefused(path=path, why=why)
        if status in (400, 401, 403):
            return errors.StorageRefused(where=where, why=why.rstrip("."))
        return errors.Unreachable(what="S3", where=where, why=f"it answered {status}: {why}")


def bucket(url: str, settings: S3) -> Bucket | None:
    """The place that s3://bucket/prefix names; None when the URL is no such one."""
    parts = urlsplit(url)
    if parts.scheme != "s3" or not parts.netloc:
        return None
    prefix = url.split("://", 1)[1].partition("/")[2]
    return Bucket(parts.netloc, prefix if not prefix or prefix.endswith("/") else f"{prefix}/", settings)
