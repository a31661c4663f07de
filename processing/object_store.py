"""Where the archive's objects lie: a folder, or any S3."""

import os
import shutil
import uuid
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa
from pyarrow.fs import FileSystem, FileType, LocalFileSystem, copy_files


class ArchiveUrlError(ValueError):
    """Raised for an `ARCHIVE_URL` that can't be used; says why."""


class ObjectStore:
    """Objects below `url`: `file:///folder`, or
    `s3://bucket/prefix?endpoint_override=host:port&scheme=http`.

    Raises `OSError` while the store can't be reached or refuses, `ArchiveUrlError`.
    """

    def __init__(self, url: str) -> None:
        self._url = url

    def __str__(self) -> str:
        """The URL for people: without the credentials that it may hold."""
        parts = urlsplit(self._url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"

    def put(self, source: Path, key: str) -> int:
        """Store a finished file; returns its size in bytes.

        Readers see the whole object under `key` or none, or the one that was there before.
        """
        if isinstance(self._filesystem, LocalFileSystem):
            _put_file(source, Path(self._path(key)))
        else:
            # No output stream of our own: one that is closed, or merely forgotten, on the
            # way out of an exception completes the object with what it was given so far.
            copy_files(
                str(source),
                self._path(key),
                source_filesystem=LocalFileSystem(),
                destination_filesystem=self._filesystem,
            )
        return self._verified(key, source.stat().st_size)

    def delete(self, key: str) -> None:
        """Whether it is there or not."""
        if self.size(key) is not None:
            with suppress(FileNotFoundError):
                self._filesystem.delete_file(self._path(key))

    def size(self, key: str) -> int | None:
        """In bytes; None where there is no such object."""
        found = self._filesystem.get_file_info(self._path(key))
        return int(found.size) if found.type == FileType.File else None

    def open(self, key: str) -> Any:
        """The object as a file that pyarrow can read; raises `FileNotFoundError`."""
        return self._filesystem.open_input_file(self._path(key))

    def _verified(self, key: str, size: int) -> int:
        stored = self.size(key)
        if stored != size:
            raise OSError(f"{key} has {stored} bytes in {self}, {size} were written")
        return size

    def _path(self, key: str) -> str:
        return f"{self._target[1]}/{key}"

    @property
    def _filesystem(self) -> Any:
        return self._target[0]

    @cached_property
    def _target(self) -> tuple[Any, str]:
        try:
            filesystem, path = FileSystem.from_uri(self._url)
        except pa.ArrowInvalid as error:
            raise ArchiveUrlError(
                f"ARCHIVE_URL can't be used: {error}. Set it to file:///folder or "
                "s3://bucket/prefix (SPEC.md §6)."
            ) from None
        return filesystem, path.rstrip("/")


def _put_file(source: Path, target: Path) -> None:
    """Copy beside the target, then rename: the name appears with the whole content."""
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    try:
        shutil.copyfile(source, draft)
        with draft.open("rb") as written:
            os.fsync(written.fileno())
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)
