from __future__ import annotations

from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch
from torch import nn

from preprocessing.images.decode import decode
from training.network.backbone import Backbone, Network, averaged_network, load_backbone, normalised
from training.network.registry import BACKBONES, build_network, load_imagenet, spec_of
from training.network.stages import with_folded_batch_norm
from training.network.views import clean_view
from workspace.config.train import TrainConfig
from workspace.errors import ConfigError, WeightsError

BEARS = Path(__file__).resolve().parents[3].parent / "shared" / "photos" / "bears"
LITE0 = BACKBONES["efficientnet_lite0"]
RESNET = BACKBONES["resnet50"]


def noise(count: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (count, 224, 224, 3), dtype=np.uint8))


@pytest.fixture
def no_resnet_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    def refuse(*_: object, **__: object) -> None:
        raise URLError("refused")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", refuse)
    return tmp_path / "torch" / "hub" / "checkpoints" / "resnet50-0676ba61.pth"


CUTS = {
    "resnet18": (256, 14, 14),
    "resnet50": (1024, 14, 14),
    "efficientnet_lite0": (112, 14, 14),
    "timm:convnext_atto": (160, 14, 14),
}


@pytest.mark.parametrize("name", CUTS)
def test_frozen_then_open_stages_are_the_network_without_its_classifier(name):
    spec = spec_of(name)
    inputs = normalised(noise(2), spec.mean, spec.std)
    network = build_network(spec).eval()
    with torch.inference_mode():
        logits = network(inputs)
    backbone = Backbone(spec, network)
    assert backbone.stage_names == ("layer1", "layer2", "layer3", "layer4")
    assert not any(value.requires_grad for value in backbone.parameters())
    with torch.inference_mode():
        for count in (1, 2, 4):
            activations, whole = backbone.run(inputs, 4 - count)
            features = backbone.copy_of_last(count)(activations)
            assert torch.allclose(features, whole, atol=1e-4)
            assert activations.shape[1:] == {1: CUTS[name], 4: (3, 224, 224)}.get(count, activations.shape[1:])
            assert features.shape == (2, spec.feature_dim)
            assert np.allclose(backbone.source_logits(features.numpy()), logits.numpy(), atol=1e-4)
    with pytest.raises(ValueError, match="has 4 stages, so 5 cannot be copied"):
        backbone.copy_of_last(5)


@pytest.mark.parametrize("name", CUTS)
def test_frozen_stages_with_folded_batch_norm_are_the_same_stages(name):
    spec = spec_of(name)
    backbone = Backbone(spec, build_network(spec))
    generator = torch.Generator().manual_seed(0)
    for module in backbone.stages.modules():
        if isinstance(module, nn.BatchNorm2d):  # as training leaves them: not 0 and 1
            module.running_mean.copy_(torch.randn(module.num_features, generator=generator) / 10)
            module.running_var.copy_(torch.rand(module.num_features, generator=generator) + 0.5)
    before = {key: value.clone() for key, value in backbone.state_dict().items()}
    folded = with_folded_batch_norm(backbone.stages[:2], spec.crop_px)
    inputs = normalised(noise(2), spec.mean, spec.std)
    with torch.inference_mode():
        expected = backbone.stages[:2](inputs)
        assert (folded(inputs) - expected).abs().max() <= 1e-4 * max(1, expected.abs().max())
    norms = [sum(isinstance(module, nn.BatchNorm2d) for module in part.modules()) for part in (backbone.stages, folded)]
    assert norms == [0, 0] if name == "timm:convnext_atto" else norms[0] > norms[1] == 0
    assert all(torch.equal(value, before[key]) for key, value in backbone.state_dict().items())


def test_every_backbone_is_named_where_people_choose_one():
    page = (Path(__file__).resolve().parents[3] / "docs" / "training.md").read_text(encoding="utf-8")
    setting = TrainConfig.model_fields["backbone"].description or ""
    for name in BACKBONES:
        assert f"`{name}`" in page and name in setting


def test_stages_that_do_not_run_in_their_order_are_not_folded():
    class Backwards(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 3, 3), nn.BatchNorm2d(3)
            self.norm.running_mean += 1

        def forward(self, inputs):
            return self.conv(self.norm(inputs))

    stages = nn.Sequential(Backwards()).eval()
    kept = with_folded_batch_norm(stages, 8)
    inputs = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    assert torch.equal(kept(inputs), stages(inputs))


@pytest.mark.parametrize("stages", [1, 2, 4])
def test_a_network_with_a_tuned_copy_is_the_average_of_two(stages):
    backbone = Backbone(LITE0, build_network(LITE0), head_stages=3)
    tuned = backbone.copy_of_last(stages)
    for parameter in tuned.parameters():
        parameter.data *= 1.1
    head, tuned_head = nn.Linear(backbone.width, 3), nn.Linear(LITE0.feature_dim, 3)
    network = averaged_network(backbone, head, tuned, tuned_head, share=0.25).eval()
    inputs = normalised(noise(2), LITE0.mean, LITE0.std)
    with torch.inference_mode():
        start, features = backbone.run(inputs, 4 - stages)
        expected = 0.75 * head(features) + 0.25 * tuned_head(tuned(start))
        assert torch.allclose(network(inputs), expected, atol=1e-4)
        assert torch.equal(network.features(inputs)[:, : backbone.width], features)
    saved = Network.untrained(Backbone(LITE0, build_network(LITE0, 1), head_stages=3), 3, stages).eval()
    saved.load_state_dict(network.state_dict())
    with torch.inference_mode():
        assert torch.equal(saved(inputs), network(inputs))


@pytest.mark.parametrize("name", ["resnet18", "efficientnet_lite0"])
def test_the_head_sees_the_stages_that_it_is_given(name):
    spec = spec_of(name)
    inputs = normalised(noise(2), spec.mean, spec.std)
    backbone = Backbone(spec, build_network(spec), head_stages=3).eval()
    with torch.inference_mode():
        second = backbone.stages[:2](inputs)
        third = backbone.stages[2](second)
        parts = [backbone.stages[3](third)]
        for maps in (third, second):
            parts += [maps.mean((2, 3)), maps.std((2, 3), correction=0)]
        whole = backbone(inputs)
        assert torch.allclose(whole, torch.cat(parts, 1), atol=1e-3)
        assert backbone.blocks == (spec.feature_dim, 2 * third.shape[1], 2 * second.shape[1])
        for cut in range(5):
            start, features = backbone.run(inputs, cut)
            assert torch.equal(features, whole)
            assert torch.equal(start, backbone.stages[:cut](inputs))


def test_a_transformer_of_timm_is_one_piece():
    spec = spec_of("timm:vit_tiny_patch16_224")
    network = build_network(spec).eval()
    inputs = normalised(noise(1), spec.mean, spec.std)
    with torch.inference_mode():
        logits = network(inputs)
        backbone = Backbone(spec, network, head_stages=3)
        assert (backbone.stage_names, backbone.blocks) == (("whole",), (spec.feature_dim,))
        assert np.allclose(backbone.source_logits(backbone(inputs).numpy()), logits.numpy(), atol=1e-4)


def test_timm_says_what_it_does_not_have():
    with pytest.raises(ConfigError, match="no model 'resnet999'; nearest are .*resnet"):
        spec_of("timm:resnet999")


def test_the_second_weights_are_a_choice_where_there_are_some(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    for name in ("resnet50-0676ba61.pth", "resnet50-11ad3fa6.pth"):
        (folder / name).touch()
    assert [RESNET.find_weights(version).name for version in ("imagenet", "imagenet-v2")] == [
        "resnet50-0676ba61.pth",
        "resnet50-11ad3fa6.pth",
    ]
    with pytest.raises(ConfigError, match="resnet18 has no weights IMAGENET1K_V2"):
        BACKBONES["resnet18"].find_weights("imagenet-v2")


def test_normalised_is_pixel_minus_mean_over_std():
    inputs = normalised(noise(1), (0.1, 0.2, 0.3), (0.5, 0.25, 2.0))
    assert inputs.shape == (1, 3, 224, 224)
    assert inputs[0, 1, 7, 9].item() == pytest.approx((noise(1)[0, 7, 9, 1].item() / 255 - 0.2) / 0.25, abs=1e-6)


def test_lite0_knows_bears_from_imagenet():
    if not BEARS.is_dir():
        pytest.skip("no photographs at ../shared/photos/bears")
    network = build_network(LITE0).eval()
    load_imagenet(LITE0, network)
    for folder, index in (("grizzly", 294), ("black", 295), ("teddy", 850)):  # ImageNet: brown bear, black bear, teddy
        files = sorted((BEARS / folder).iterdir())[:6]
        views = np.stack([clean_view(decode(file.read_bytes()).pixels) for file in files])
        with torch.inference_mode():
            answers = network(normalised(torch.from_numpy(views), LITE0.mean, LITE0.std)).argmax(1)
        assert (answers == index).sum() >= 5, (folder, answers)


def test_every_weight_of_the_lite0_file_is_taken(tmp_path):
    path = LITE0.find_weights("imagenet")
    network = build_network(LITE0)
    load_imagenet(LITE0, network)
    taken = list(network.state_dict().values())
    given = list(torch.load(path, weights_only=True).values())
    assert len(taken) == len(given) == 296
    assert all(torch.equal(a, b) for a, b in zip(taken, given, strict=True))


def test_an_unknown_backbone_lists_the_known_ones():
    with pytest.raises(ConfigError, match="'vgg'.*efficientnet_lite0, resnet101.*timm:NAME"):
        spec_of("vgg")
    with pytest.raises(ConfigError, match="'vgg'"):
        load_backbone(TrainConfig(backbone="efficientnet_lite0", fallback_backbone="vgg"), 0)


def test_random_weights_come_from_the_seed_and_leave_torch_alone():
    config = TrainConfig(backbone="efficientnet_lite0", weights="random")
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    (one, origin), (same, _), (other, _) = (load_backbone(config, seed) for seed in (1, 1, 2))
    assert torch.equal(torch.rand(3), expected)
    assert one.weights_digest() == same.weights_digest() != other.weights_digest()
    assert origin.weights == "random"
    assert "means nothing" in origin.notes()[0]


def test_without_weights_the_error_names_the_three_remedies(no_resnet_weights):
    with pytest.raises(WeightsError) as caught:
        load_backbone(TrainConfig(), 0)
    text = str(caught.value)
    assert "weights_file under [train]" in text
    assert str(no_resnet_weights) in text
    assert "https://download.pytorch.org/models/resnet50-0676ba61.pth" in text
    assert "refused" in text


def test_the_fallback_is_taken_only_for_want_of_weights_and_says_so(no_resnet_weights):
    backbone, origin = load_backbone(TrainConfig(fallback_backbone="efficientnet_lite0"), 0)
    assert backbone.spec.name == origin.used == "efficientnet_lite0"
    assert origin.requested == "resnet50"
    assert "cannot be downloaded" in origin.fallback_reason
    assert "efficientnet_lite0 was used in place of resnet50" in origin.notes()[0]
    wanted, kept = load_backbone(TrainConfig(backbone="efficientnet_lite0", fallback_backbone="resnet50"), 0)
    assert (wanted.spec.name, kept.fallback_reason, kept.notes()) == ("efficientnet_lite0", "", ())


def test_weights_are_read_from_the_named_file_then_from_torchs_cache(tmp_path, no_resnet_weights):
    weights = build_network(RESNET, seed=9).state_dict()
    expected = Backbone(RESNET, build_network(RESNET, seed=9)).weights_digest()
    named = tmp_path / "mine.pth"
    torch.save(weights, named)
    backbone, origin = load_backbone(TrainConfig(weights_file=str(named)), 0)
    assert (backbone.weights_digest(), origin.source) == (expected, str(named))
    no_resnet_weights.parent.mkdir(parents=True)
    named.rename(no_resnet_weights)
    backbone, origin = load_backbone(TrainConfig(), 0)
    assert (backbone.weights_digest(), origin.source) == (expected, str(no_resnet_weights))


@pytest.mark.parametrize("content", [b"", b"not a file of torch", None], ids=["empty", "text", "missing"])
def test_a_bad_weights_file_is_an_error_that_names_it(tmp_path, content):
    path = tmp_path / "bad.pth"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"bad\.pth"):
        load_backbone(TrainConfig(weights_file=str(path)), 0)


def test_what_a_training_program_saved_beside_the_weights_is_refused_with_a_remedy(tmp_path):
    path = tmp_path / "checkpoint.pth"
    torch.save({"epoch": 3, "state_dict": build_network(RESNET).state_dict()}, path)
    with pytest.raises(WeightsError, match=r"checkpoint\.pth do not fit resnet50") as caught:
        load_backbone(TrainConfig(weights_file=str(path)), 0)
    assert "state_dict of resnet50" in str(caught.value)


@pytest.mark.parametrize("name", ["efficientnet_lite0", "timm:test_efficientnet"])
def test_a_version_of_weights_that_a_network_does_not_have_is_refused(name):
    with pytest.raises(ConfigError, match=f"{name} has no weights imagenet-v2"):
        load_backbone(TrainConfig(backbone=name, weights="imagenet-v2"), 0)


def test_weights_of_another_network_are_refused(tmp_path):
    path = tmp_path / "other.pth"
    torch.save(build_network(LITE0).state_dict(), path)
    with pytest.raises(WeightsError, match="do not fit resnet50"):
        load_backbone(TrainConfig(weights_file=str(path)), 0)
