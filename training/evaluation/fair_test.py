"""The test images by which two models of a workspace can be compared: those that neither has learnt from."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from preprocessing.dataset.groups import groups_today
from workspace.catalog.records import Override, Sample
from workspace.storage.dataset import read_dataset
from workspace.storage.image_store import ImageStore
from workspace.storage.paths import Workspace
from workspace.storage.run_folder import RunFolder
from workspace.storage.withdrawal import withdrawn_files


@dataclass(frozen=True, slots=True)
class FairTest:
    """The test images that neither model has learnt from.

    Attributes:
        samples: under the names that classes have in the newer dataset.
        left_out: how many were left out, by reason.
        renamed: classes of the earlier model that have another name now, new names by old ones.
        withdrawn: images that the earlier model has learnt from or was chosen by, and that were withdrawn since.
    """

    samples: Sequence[Sample]
    left_out: Mapping[str, int]
    renamed: Mapping[str, str]
    withdrawn: int


def fair_test(workspace: Workspace, champion: RunFolder, challenger: RunFolder) -> FairTest:
    """Join the two frozen test sets, less the images that either model was trained on or chosen by.

    An image is left out with all of its group; the groups are those of both runs and of today. Its label is that of
    the newer dataset, or the one a person has given it since; images that a person dropped, or whose file is gone, are
    left out too.

    Raises:
        DatasetError: one of the datasets cannot be read.
    """
    old, new = read_dataset(champion.dataset_file), read_dataset(challenger.dataset_file)
    renamed = renamed_classes(old, new)
    old = [replace(sample, label=renamed.get(sample.label, sample.label)) for sample in old]
    with workspace.open_catalog() as catalog:
        overrides = {(override.sha256, override.label): override for override in catalog.all(Override)}
        group_of, withdrawn = groups_today(catalog, old, new), withdrawn_files(catalog)
    learnt = {sample.sha256 for sample in (*old, *new) if sample.split != "test"}
    tainted = {group_of[sha] for sha in learnt}
    stored = {sha for sha, _ in ImageStore(workspace).entries()}
    chosen: dict[str, Sample] = {}
    left_out = dict.fromkeys(("learnt_from", "dropped_by_a_person", "file_gone"), 0)
    known = {sample.sha256 for sample in new}
    for sample in (*new, *(sample for sample in old if sample.sha256 not in known)):
        if sample.split != "test":
            continue
        override = overrides.get((sample.sha256, sample.label))
        if group_of[sample.sha256] in tainted:
            left_out["learnt_from"] += 1
        elif override and override.action == "drop":
            left_out["dropped_by_a_person"] += 1
        elif sample.sha256 not in stored:
            left_out["file_gone"] += 1
        else:
            chosen[sample.sha256] = replace(_relabelled(sample, override), group=group_of[sample.sha256])
    learnt_since = {sample.sha256 for sample in old if sample.split == "test" and sample.sha256 in known & learnt}
    left_out["learnt_from"] += len(learnt_since)
    return FairTest(
        samples=[chosen[sha] for sha in sorted(chosen)],
        left_out={why: n for why, n in left_out.items() if n},
        renamed=renamed,
        withdrawn=sum(sample.split != "test" and sample.sha256 in withdrawn for sample in old),
    )


def renamed_classes(old: Sequence[Sample], new: Sequence[Sample]) -> dict[str, str]:
    """Find the classes of an earlier dataset that have another name in a newer one: new names by old ones.

    A class is one with a new name where most of its images are in the newer dataset too and bear that name now, and
    nothing bore it before. A few that went over to a new class do not make it the same class.
    """
    today = {sample.sha256: sample.label for sample in new}
    before, after = Counter(sample.label for sample in old), set(today.values())
    names: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for sample in old:
        if sample.label not in after and sample.sha256 in today:
            names[sample.label][today[sample.sha256]] += 1
    found = {label: count.most_common(1)[0] for label, count in names.items()}
    renamed = {
        label: name for label, (name, most) in found.items() if name not in before and 2 * most > names[label].total()
    }
    once = {name for name, count in Counter(renamed.values()).items() if count == 1}  # else classes were made one
    return {label: name for label, name in renamed.items() if name in once and 2 * found[label][1] > before[label]}


def _relabelled(sample: Sample, override: Override | None) -> Sample:
    relabelled = override is not None and override.action == "relabel"
    return replace(sample, label=override.new_label) if override and relabelled else sample
