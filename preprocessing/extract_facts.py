"""Extract facts and cached pixels from each file, in isolated worker processes."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from preprocessing.duplicates.hashing import hash_image
from preprocessing.images.decode import Decoded, Pixels, decode_small
from preprocessing.images.pixel_cache import PixelCache
from preprocessing.images.usage_rights import usage_rights
from preprocessing.images.worker import FailedJob, JobLimits
from preprocessing.images.worker_pool import run_all
from preprocessing.quality.statistics import measure
from workspace.catalog.records import ImageFacts
from workspace.config.clean import CleanConfig
from workspace.errors import ImageRefused, WorkspaceError
from workspace.reasons import FILE_LOST
from workspace.storage.image_store import ImageStore
from workspace.storage.paths import Workspace
from workspace.text.counts import counted


@dataclasses.dataclass(frozen=True, slots=True)
class ExtractionJob:
    """One file to extract facts from: its sha256, and where it lies on this machine."""

    sha256: str
    workspace: Workspace
    clean: CleanConfig
    file: Path


@dataclasses.dataclass(frozen=True, slots=True)
class ExamineShard:
    """Files to examine: their sha256, the workspace that has them, and the limits."""

    files: Sequence[str]
    workspace: Workspace
    clean: CleanConfig

    def __str__(self) -> str:
        return f"{counted(len(self.files), 'picture')} from {self.files[0]} on"


def examine_shard(shard: ExamineShard) -> Iterator[ImageFacts]:
    """Extract the facts of a shard's files and put their pixels into the cache.

    Raises:
        WorkspaceError: as `extract_all` does.
    """
    for portion in ImageStore(shard.workspace).portions(shard.files):
        jobs = [ExtractionJob(sha, shard.workspace, shard.clean, file) for sha, file in portion]
        yield from extract_all(jobs, shard.clean)


def extract_facts(job: ExtractionJob) -> ImageFacts:
    """Decode a file, put its pixels into the cache, measure and hash them.

    Measures and hashes are of the cached pixels; the pixel digest is of the upright image as decoded, so that files
    which differ only in their metadata have equal digests. A file whose bytes are not those of its name has the error
    `file_lost`.

    Raises:
        WorkspaceError: the file is gone, or the cache cannot be written.
    """
    try:
        data = job.file.read_bytes()
    except OSError as error:
        raise WorkspaceError(
            f"{job.file} cannot be read: {error.strerror}; put it back, or fetch it again: "
            f"{job.workspace.command('collect')}"
        ) from error
    if hashlib.sha256(data).hexdigest() != job.sha256:
        return ImageFacts(job.sha256, error=FILE_LOST, bytes=len(data))
    try:
        decoded, small = decode_small(data, job.clean)
    except ImageRefused as refused:
        if refused.reason == "decoder_memory":
            raise MemoryError from refused  # this process may have leaked: a new one takes over
        return ImageFacts(job.sha256, error=refused.reason, detail=refused.detail, bytes=len(data))
    PixelCache(job.workspace, job.clean).write(job.sha256, small)
    return facts_of(job.sha256, data, decoded, small)


def facts_and_pixels(data: bytes, clean: CleanConfig) -> tuple[ImageFacts, Pixels]:
    """Decode a file of no workspace: its facts, and its pixels as the cache would hold them, [h, w, 3].

    Raises:
        ImageRefused: as `decode` does.
    """
    decoded, small = decode_small(data, clean)
    return facts_of(hashlib.sha256(data).hexdigest(), data, decoded, small), small


def facts_of(sha256: str, data: bytes, decoded: Decoded, small: Pixels) -> ImageFacts:
    """Measure and hash a decoded image.

    Args:
        sha256: of its file.
        data: the whole file.
        decoded: the upright image.
        small: its pixels as they are cached, [h, w, 3].
    """
    return ImageFacts(
        sha256=sha256,
        format=decoded.format,
        mode=decoded.mode,
        width=decoded.width,
        height=decoded.height,
        frames=decoded.frames,
        bytes=len(data),
        usage_rights=usage_rights(data),
        pixel_digest=_pixel_digest(decoded),
        note=decoded.note,
        **dataclasses.asdict(hash_image(small)),
        **dataclasses.asdict(measure(small)),
    )


def extract_all(
    jobs: Sequence[ExtractionJob],
    clean: CleanConfig,
    extract_one: Callable[[ExtractionJob], ImageFacts] = extract_facts,
) -> Iterator[ImageFacts]:
    """Extract the facts of files in worker processes and yield them as they come, in no particular order.

    A file that kills its worker (twice), takes too long or too much memory gets that as its error; the others go on.

    Args:
        jobs: the files.
        clean: how many processes, and what a file may take.
        extract_one: what a worker runs; importable by name.

    Raises:
        WorkspaceError: processes cannot be started, a file is gone, or the cache cannot be written.
    """
    limits = JobLimits(clean.decoder_timeout_s, int(clean.decoder_memory_mb * 1e6))
    for outcome in run_all(jobs, extract_one, clean.workers or os.cpu_count() or 1, limits):
        if isinstance(outcome, FailedJob):
            yield ImageFacts(outcome.job.sha256, error=outcome.reason, detail=outcome.detail)
        else:
            yield outcome


def _pixel_digest(decoded: Decoded) -> str:
    shape = f"{decoded.width}x{decoded.height}:".encode()
    return hashlib.sha256(shape + decoded.pixels.tobytes()).hexdigest()
