"""Image files in an S3-compatible object store, named by the hash of their content as in a local folder."""

from collections.abc import Iterator
from contextlib import contextmanager

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from django.conf import settings
from django.core.files.base import ContentFile, File
from django.utils.deconstruct import deconstructible
from storages.backends.s3 import S3Storage


@deconstructible
class S3ContentStorage(S3Storage):
    """A bucket in which a file appears whole or not at all: one PUT each.

    Credentials come from where boto3 looks for them (AWS_ACCESS_KEY_ID and so on).
    """

    def __init__(self) -> None:
        super().__init__(
            bucket_name=settings.S3_BUCKET,
            endpoint_url=settings.S3_ENDPOINT or None,
            region_name=settings.S3_REGION or None,
            file_overwrite=True,  # the same name is the same content
            default_acl=None,
            # Checksums of newer kinds are unknown to many stores that aren't Amazon's.
            client_config=Config(
                request_checksum_calculation="when_required", response_checksum_validation="when_required"
            ),
        )

    def _save(self, name: str, content: File) -> str:
        with _errors_of_the_system():
            if not self.exists(name):
                # Not the library's upload, which sends a large file in parts.
                self.bucket.Object(name).put(Body=content.read(), ContentType="image/png")
        return name

    def _open(self, name: str, mode: str = "rb") -> File:
        """Raises FileNotFoundError, as a local folder does."""
        with _errors_of_the_system():
            content = self.bucket.Object(name).get()["Body"].read()
        return ContentFile(content, name=name)


@contextmanager
def _errors_of_the_system() -> Iterator[None]:
    """What goes wrong between here and the store is an OSError, as with a folder."""
    try:
        yield
    except ClientError as error:
        said = f"The bucket {settings.S3_BUCKET} says: {error}"
        if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
            raise FileNotFoundError(said) from error
        raise OSError(said) from error
    except BotoCoreError as error:
        raise OSError(f"The bucket {settings.S3_BUCKET} can't be reached: {error}") from error
