from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from training.export.job import ExportJob
from training.network.backbone import Backbone, Network
from training.network.registry import build_network, spec_of
from workspace.storage.paths import Workspace

KINDS = ("amber", "blue", "cyan")


@pytest.fixture(scope="session")
def shared_workspace(tmp_path_factory, trainable_in) -> Workspace:
    return trainable_in(tmp_path_factory.mktemp("export"))


@pytest.fixture
def job_of(shared_workspace: Workspace, tmp_path: Path, save_model) -> Callable[..., ExportJob]:
    """Make the job of an untrained model on the small workspace; `head_stages` and `tuned` as in its card."""

    def make(backbone: str, head_stages: int = 1, tuned: int = 0, crop_px: int = 64) -> ExportJob:
        spec = spec_of(backbone)
        made = Backbone(spec, build_network(spec, 3), head_stages=head_stages)
        network = Network.untrained(made, len(KINDS), tuned)
        with torch.random.fork_rng():
            torch.manual_seed(0)
            nn.init.normal_(network.head.weight, std=0.3)
            for parameter in network.tuned.parameters() if network.tuned is not None else ():
                parameter.data += 0.01 * torch.randn(parameter.shape)
        values = {"mean": list(spec.mean), "std": list(spec.std), "resize_px": crop_px * 8 // 7, "crop_px": crop_px}
        folder = save_model(
            tmp_path / "model",
            KINDS,
            network=network,
            backbone=backbone,
            head_stages=head_stages,
            tuned_stages=tuned,
            input=values,
            fitted_on=["train", "val"],
            run_id="first",
        )
        run = shared_workspace.run("first")
        job = ExportJob(shared_workspace, run)
        from training.inference.classifier import Classifier

        job.__dict__["model"] = Classifier.load(folder, "cpu")
        job.__dict__["images"] = [job.cache.read(sample.sha256) for sample in job.samples if sample.split == "test"]
        return job

    return make
