from __future__ import annotations

from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch

from preprocessing.images.decode import decode
from training.network.backbone import Backbone, load_backbone, normalised
from training.network.registry import BACKBONES, build_network, load_imagenet, spec_of
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
    with torch.inference_mode():
        for count in (1, 2, 4):
            backbone.open(count)
            activations = backbone.prefix(inputs)
            features = backbone.tail(activations)
            assert activations.shape[1:] == {1: CUTS[name], 4: (3, 224, 224)}.get(count, activations.shape[1:])
            assert features.shape == (2, spec.feature_dim)
            assert np.allclose(backbone.source_logits(features.numpy()), logits.numpy(), atol=1e-4)
    backbone.open(2)
    closed = [name for name, value in backbone.named_parameters() if not value.requires_grad]
    assert all(name.startswith(("stages.layer1.", "stages.layer2.")) for name in closed)
    assert len(closed) < len(list(backbone.parameters()))


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
        for count in range(5):
            backbone.open(count)
            start, features = backbone.run(inputs)
            frozen = features[:, backbone.width - backbone.frozen_width :]
            if count:
                assert torch.allclose(backbone.resume(start, frozen), whole, atol=1e-5)
            assert torch.equal(features, whole)


def test_a_transformer_of_timm_is_one_piece():
    spec = spec_of("timm:vit_tiny_patch16_224")
    network = build_network(spec).eval()
    inputs = normalised(noise(1), spec.mean, spec.std)
    with torch.inference_mode():
        logits = network(inputs)
        backbone = Backbone(spec, network, head_stages=3)
        assert (backbone.stage_names, backbone.blocks) == (("whole",), (spec.feature_dim,))
        assert np.allclose(backbone.source_logits(backbone(inputs).numpy()), logits.numpy(), atol=1e-4)
    with pytest.raises(ConfigError, match="vit_tiny_patch16_224 has no batch norm.*train.batch_norm_only = false"):
        backbone.open(1, batch_norm_only=True)


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


def test_frozen_parts_stay_frozen_whatever_train_says():
    backbone = Backbone(LITE0, build_network(LITE0)).train()
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    optimizer = torch.optim.SGD([p for p in backbone.parameters() if p.requires_grad], lr=0.1)
    for seed in range(2):
        loss = backbone(normalised(noise(4, seed), LITE0.mean, LITE0.std)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    after = backbone.state_dict()
    changed = {name for name, value in after.items() if not torch.equal(value, before[name])}
    assert any(name.startswith("stages.layer4.") and name.endswith("conv_pw.weight") for name in changed)
    assert not [
        name for name in changed if not name.startswith("stages.layer4.") or "running_" in name or "num_batches" in name
    ]


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


def test_weights_of_another_network_are_refused(tmp_path):
    path = tmp_path / "other.pth"
    torch.save(build_network(LITE0).state_dict(), path)
    with pytest.raises(WeightsError, match="do not fit resnet50"):
        load_backbone(TrainConfig(weights_file=str(path)), 0)
