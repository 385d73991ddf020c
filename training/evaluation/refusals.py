"""Compare how two models refuse images of no class: those that have set the limits of neither."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from preprocessing.dataset.groups import groups_today
from preprocessing.images.pixel_cache import PixelCache
from training.evaluation.false_acceptance import distances
from training.evaluation.predictions import TEST, answered
from training.inference.classifier import Classifier, decoding_limits
from training.stats.paired_test import PairedAnswer, PairedTest, paired_test
from workspace.catalog.records import Override, Sample
from workspace.config.model import WorkspaceConfig
from workspace.progress import Progress
from workspace.storage.dataset import read_dataset, read_negatives
from workspace.storage.image_store import ImageStore
from workspace.storage.paths import Workspace
from workspace.storage.run_folder import RunFolder


def compare_refusals(
    workspace: Workspace,
    config: WorkspaceConfig,
    champion: tuple[RunFolder, Classifier],
    challenger: tuple[RunFolder, Classifier],
    progress: Progress,
) -> PairedTest | None:
    """Test whether the challenger refuses negatives less often; None where there are none to ask about.

    Right is who gives no class. Each model answers by its own limits.

    Raises:
        DatasetError: a run's file is damaged.
    """
    samples = fair_negatives(workspace, champion[0], challenger[0])
    if not samples:
        return None
    right = [_refused(workspace, config, model, samples, progress) for _, model in (champion, challenger)]
    return paired_test(
        [PairedAnswer(sample.group_key, bool(old), bool(new)) for sample, old, new in zip(samples, *right, strict=True)]
    )


def fair_negatives(workspace: Workspace, champion: RunFolder, challenger: RunFolder) -> list[Sample]:
    """Join the measuring negatives of two runs, by sha256, less what either has learnt from or set its limits by.

    A negative is left out with all of its group; so are those that a person has dropped or moved, and lost files. The
    groups are those of both runs and of today.
    """
    runs = (champion, challenger)
    frozen = [read_negatives(run.negatives_file) for run in runs]
    negatives = [one for samples in frozen for one in samples]
    seen = {one.sha256 for one in negatives if one.split != TEST}
    seen |= {one.sha256 for run in runs for one in read_dataset(run.dataset_file)}
    with workspace.open_catalog() as catalog:
        seen |= {row.sha256 for row in catalog.all(Override) if row.action != "keep"}
        group_of = groups_today(catalog, *frozen)
    tainted = {group_of[one.sha256] for one in negatives if one.sha256 in seen}
    images = ImageStore(workspace)
    found = {
        one.sha256: replace(one, group=group_of[one.sha256])
        for one in negatives
        if group_of[one.sha256] not in tainted and images.exists(one.sha256)
    }
    return [found[sha256] for sha256 in sorted(found)]


def _refused(
    workspace: Workspace, config: WorkspaceConfig, model: Classifier, samples: Sequence[Sample], progress: Progress
) -> npt.NDArray[np.bool_]:
    cache = PixelCache(workspace, decoding_limits(model, config.clean))
    found, calibration = answered(model, cache, samples, progress), model.calibration
    if found is None or calibration is None:
        return np.zeros(len(samples), np.bool_)  # it always answers
    sure = calibration.probabilities(found.outputs.logits).max(1)
    return ~calibration.limits[0].accepts(sure, distances(found, calibration))
