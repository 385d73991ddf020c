"""Training methods to compare, each from the same pixels and ImageNet weights to logits and seconds."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn
from torchvision.transforms import v2

from benchmarks.support.peers import peer_python
from benchmarks.support.photo_sets import PhotoSet
from preprocessing.images.pixel_cache import PixelCache
from training.fit import selection as recipe
from training.fit.schedule import learning_rate
from training.fit.selection import Setup, TrainingResult, TrainingSet
from training.network.backbone import Backbone, load_backbone, normalised
from training.network.device import Device, choose_device
from training.network.features import Extractor
from training.network.registry import BackboneSpec, build_network, load_imagenet, spec_of
from training.network.views import PRESETS, Augmenter, clean_view
from workspace.config.model import WorkspaceConfig
from workspace.progress import SILENT
from workspace.storage.paths import Workspace

Rows = npt.NDArray[np.int64]
Logits = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """What a method answers.

    Attributes:
        logits: of the test images, [n, classes].
        seconds: of training.
        kept: a word on what was kept.
        parts: of this project: `mirrored`, the logits of the mirrored test images; where a copy was trained `head` and
            `tuned`, those of its two parts on the test images, and `held_out_head`, `held_out_tuned`,
            `held_out_labels`, those that the choice between them was made by.
    """

    logits: Logits
    seconds: float
    kept: str = ""
    parts: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)


Method = Callable[[PhotoSet, Rows, Rows, int], Answer]
"""Learns from a set's rows and answers others: set, rows to learn from, rows to answer, seed."""

SGD_EPOCHS, SGD_RATE, SGD_BATCH = 15, 0.01, 16
LP_FT_EPOCHS = 12

TIMM_NAMES = {"efficientnet_lite0": "tf_efficientnet_lite0"}

FASTAI = ("fastai==2.8.12", "timm==1.0.30", "torch==2.14.1", "torchvision==0.29.1")


def learn(photos: PhotoSet, rows: Rows, config: WorkspaceConfig) -> tuple[TrainingResult, BackboneSpec, float]:
    """Run the train step's own selection on these rows, from cached pixels and an empty cache of features."""
    with tempfile.TemporaryDirectory() as scratch:
        workspace = Workspace(Path(scratch))
        workspace.cache.mkdir()
        pixels = PixelCache(photos.workspace, config.clean).folder
        (workspace.cache / pixels.name).symlink_to(pixels.resolve())
        device = choose_device(config.train.device)
        began = time.monotonic()
        backbone, _ = load_backbone(config.train, config.seed)
        extractor = Extractor(workspace, config, backbone, device)
        keys = tuple(photos.keys[row] for row in rows)
        extractor.extract_clean(keys, SILENT)
        pictures = TrainingSet(keys, photos.labels[rows], photos.groups[rows], len(photos.classes))
        setup = Setup(pictures, config, extractor, backbone, device, workspace.root / "checkpoints")
        result = recipe.learn(setup, SILENT)
        return result, backbone.spec, time.monotonic() - began


def ours(photos: PhotoSet, train: Rows, test: Rows, seed: int) -> Answer:
    """Predict with the model that `learn` trained."""
    result, spec, seconds = learn(photos, train, photos.config.model_copy(update={"seed": seed}))
    network, inputs = result.network.eval(), clean_inputs(spec, photos, test)
    with torch.inference_mode():
        logits = network(inputs).cpu().numpy()
        mirrored = network(inputs.flip(-1)).cpu().numpy()
        parts = {"mirrored": mirrored, **parts_of(result, network.backbone, inputs)}
    return Answer(logits, seconds, result.chosen, parts)


def parts_of(result: TrainingResult, backbone: Backbone, inputs: torch.Tensor) -> Mapping[str, npt.NDArray[Any]]:
    """What the two parts answer to the test images and to the held-out ones; nothing where no copy was trained."""
    evidence, copy = result.evidence, result.copy
    if copy is None or copy.network is None or evidence.tuned is None or evidence.head is None:
        return {}
    known = evidence.known
    start, features = backbone.run(inputs, len(backbone.stages) - len(copy.network.stages))
    return {
        "head": result.head.logits(features.cpu().numpy()),
        "tuned": copy.network.to(start.device)(start).cpu().numpy(),
        "held_out_head": evidence.head.logits[known],
        "held_out_tuned": evidence.tuned[known],
        "held_out_labels": evidence.head.labels[known],
    }


def probe(strength: float) -> Method:
    """Fit scikit-learn's logistic regression with this C on standardised pooled features of the frozen network."""

    def fit(photos: PhotoSet, train: Rows, test: Rows, seed: int) -> Answer:
        began = time.monotonic()
        backbone, _ = load_backbone(photos.config.train, seed)
        device_of(photos).put(backbone.eval())
        model = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=1000))
        model.fit(pooled(backbone, photos, train), photos.labels[train])
        seconds = time.monotonic() - began
        scores = model.decision_function(pooled(backbone, photos, test))
        logits = np.stack([-scores, scores], axis=1) if scores.ndim == 1 else scores
        return Answer(logits.astype(np.float32), seconds)

    return fit


def pooled(backbone: Backbone, photos: PhotoSet, rows: Rows) -> Logits:
    """Compute the last stage's features of clean views, float32 [rows, feature_dim]."""
    found = []
    for start in range(0, len(rows), 32):
        with torch.inference_mode():
            inputs = clean_inputs(backbone.spec, photos, rows[start : start + 32])
            found.append(backbone(inputs)[:, : backbone.spec.feature_dim].cpu().numpy())
    return np.concatenate(found)


def clean_inputs(spec: BackboneSpec, photos: PhotoSet, rows: Rows) -> torch.Tensor:
    """Return the clean views of these rows as the network's inputs, on the set's device."""
    pixels = PixelCache(photos.workspace, photos.config.clean)
    views = [clean_view(pixels.read(photos.keys[row]), spec.resize_px, spec.crop_px) for row in rows]
    return normalised(device_of(photos).tensor(np.stack(views)), spec.mean, spec.std)


def device_of(photos: PhotoSet) -> Device:
    """Where everybody computes; the rivals in float32."""
    return choose_device(photos.config.train.device)


def lp_ft(photos: PhotoSet, train: Rows, test: Rows, seed: int) -> Answer:
    """Linear probe, then fine-tuning (Kumar et al. 2022, arXiv 2202.10054), as plainly as it can be written.

    A probe with C = 0.01 becomes the head; the last half of the network and the head are trained with SGD, momentum
    0.9, head 0.01, backbone 0.0033, batch 16, a fresh augmented view of every picture in each of 12 epochs, linear
    warm-up over a tenth of the steps and a cosine, batch norm frozen, gradients clipped to 5.
    """
    began = time.monotonic()
    torch.manual_seed(seed)
    backbone, _ = load_backbone(photos.config.train, seed)
    device = device_of(photos)
    device.put(backbone.eval())
    spec, pixels = backbone.spec, PixelCache(photos.workspace, photos.config.clean)
    features = pooled(backbone, photos, train)
    scaler = StandardScaler().fit(features)
    fitted = LogisticRegression(C=0.01, max_iter=1000).fit(scaler.transform(features), photos.labels[train])
    frozen, tuned = halves(backbone)
    head = nn.Linear(spec.feature_dim, len(photos.classes))
    weight, bias = fitted.coef_ / scaler.scale_, fitted.intercept_ - (fitted.coef_ / scaler.scale_) @ scaler.mean_
    if len(weight) == 1:
        weight, bias = np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
    with torch.no_grad():
        head.weight.copy_(torch.from_numpy(weight))
        head.bias.copy_(torch.from_numpy(bias))
    device.put(head)
    switches = photos.config.augment
    augmenter = Augmenter(PRESETS[switches.strength], switches, spec.crop_px)
    groups = [{"params": [*tuned.parameters()], "peak": 0.0033}, {"params": [*head.parameters()], "peak": 0.01}]
    optimizer = torch.optim.SGD(groups, lr=0.0033, momentum=0.9)
    batches = -(-len(train) // 16)
    for epoch in range(LP_FT_EPOCHS):
        order = train[np.random.default_rng((seed, epoch)).permutation(len(train))]
        for number, rows in enumerate(np.array_split(order, batches), start=epoch * batches):
            keys = [photos.keys[row] for row in rows]
            views = np.stack([augmenter.view(pixels.read(key), (seed, 1 + epoch, key)) for key in keys])
            with torch.inference_mode():
                start = frozen(normalised(device.tensor(views), spec.mean, spec.std))
            loss = nn.functional.cross_entropy(head(tuned(start.clone())), device.tensor(photos.labels[rows]))
            for group in optimizer.param_groups:
                group["lr"] = group["peak"] * learning_rate(number, batches * LP_FT_EPOCHS)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_([*tuned.parameters(), *head.parameters()], 5.0)
            optimizer.step()
    seconds = time.monotonic() - began
    with torch.inference_mode():
        parts = [test[start : start + 32] for start in range(0, len(test), 32)]
        logits = [head(tuned(frozen(clean_inputs(spec, photos, rows)))).cpu().numpy() for rows in parts]
    return Answer(np.concatenate(logits), seconds)


def halves(backbone: Backbone) -> tuple[nn.Module, nn.Module]:
    """The half of a network that LP-FT leaves frozen, and the half that it trains, from picture to pooled features.

    ResNets: from layer3 on; EfficientNets of timm: from block 4 of 0 to 6 on, the second half of the third stage.
    """
    *first, middle, last = backbone.stages.children()
    children = list(middle.children())
    cut = len(children) // 2
    tuned = nn.Sequential(*children[cut:], last).requires_grad_(True)
    return nn.Sequential(*first, *children[:cut]).eval(), tuned.eval()


def sgd(photos: PhotoSet, train: Rows, test: Rows, seed: int) -> Answer:
    """Fine-tune every layer and a new head: SGD with momentum and cosine schedule, random crops and flips."""
    pixels, spec = PixelCache(photos.workspace, photos.config.clean), spec_of(photos.config.train.backbone)
    began = time.monotonic()
    torch.manual_seed(seed)
    network = build_network(spec, seed)
    load_imagenet(spec, network, photos.config.train.weights_file)
    network.classifier = nn.Linear(spec.feature_dim, len(photos.classes))
    device = device_of(photos)
    device.put(network)
    change = v2.Compose([v2.RandomResizedCrop(224, scale=(0.35, 1.0), antialias=True), v2.RandomHorizontalFlip()])
    steps = SGD_EPOCHS * -(-len(train) // SGD_BATCH)
    optimizer = torch.optim.SGD(network.parameters(), lr=SGD_RATE, momentum=0.9, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    network.train()
    for _ in range(SGD_EPOCHS):
        for rows in np.array_split(train[torch.randperm(len(train)).numpy()], steps // SGD_EPOCHS):
            views = [change(torch.from_numpy(pixels.read(photos.keys[row]).copy()).permute(2, 0, 1)) for row in rows]
            made = torch.stack(views).permute(0, 2, 3, 1).numpy()
            inputs = normalised(device.tensor(made), spec.mean, spec.std)
            loss = nn.functional.cross_entropy(network(inputs), device.tensor(photos.labels[rows]))
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
    seconds = time.monotonic() - began
    network.eval()
    with torch.inference_mode():
        return Answer(network(clean_inputs(spec, photos, test)).cpu().numpy(), seconds)


def fastai(epochs: int) -> Method:
    """Run fastai's vision_learner and `fine_tune(epochs)`, in an environment of its own."""

    def fit(photos: PhotoSet, train: Rows, test: Rows, seed: int) -> Answer:
        spec = spec_of(photos.config.train.backbone)
        network = build_network(spec)
        load_imagenet(spec, network, photos.config.train.weights_file)
        with tempfile.TemporaryDirectory() as scratch:
            weights, task, answers = (Path(scratch) / name for name in ("weights.pth", "task.json", "answers.npz"))
            torch.save(network.state_dict(), weights)
            labels = [photos.classes[label] for label in photos.labels[train]]
            words = {
                "weights": str(weights),
                "backbone": TIMM_NAMES.get(spec.name, spec.name.removeprefix("timm:")),
                "epochs": epochs,
                "seed": seed,
                "train": list(zip(photos.files(train), labels, strict=True)),
                "test": photos.files(test),
                "classes": photos.classes,
                "answers": str(answers),
            }
            task.write_text(json.dumps(words), encoding="utf-8")
            run_peer("fastai", FASTAI, Path(__file__).with_name("fastai_fit.py"), task)
            with np.load(answers) as found:
                return Answer(found["logits"], float(found["seconds"]))

    return fit


def run_peer(name: str, requirements: tuple[str, ...], script: Path, task: Path) -> None:
    """Run a script of ours with a peer's interpreter; stop with its messages when it fails."""
    import subprocess

    done = subprocess.run([peer_python(name, *requirements), script, task], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{name} failed:\n{done.stderr[-3000:]}")


METHODS: dict[str, Method] = {
    "this project": ours,
    "linear probe": probe(1.0),
    "linear probe, C = 0.01": probe(0.01),
    "LP-FT": lp_ft,
    "fastai fine_tune(4)": fastai(4),
    "fastai fine_tune(15)": fastai(15),
    "plain SGD": sgd,
}
