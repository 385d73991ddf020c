import numpy as np
import pytest
import torch
from torch import nn

from training.inference.gradcam import NoFeatureMap, gradcam
from training.network.backbone import Backbone, Network, averaged_network
from training.network.registry import BACKBONES, build_network, spec_of

SPEC = BACKBONES["efficientnet_lite0"]


class Colours(nn.Module):
    """A stage whose channels are the colours themselves, in squares of 32 px, then their mean."""

    spec = SPEC

    def __init__(self) -> None:
        super().__init__()
        self.stage = nn.AvgPool2d(32)
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.pool(self.stage(inputs))


def test_the_map_shows_the_place_that_speaks_for_the_class() -> None:
    head = nn.Linear(3, 2, bias=False)
    head.weight.data = torch.tensor([[1.0, 0, 0], [0, 0, 1.0]])  # red, blue
    network = Network(Colours(), head)  # type: ignore[arg-type]
    picture = torch.zeros(1, 3, 96, 128)
    picture[0, 0, 32:64, 96:128] = 1  # red at row 1, column 3
    picture[0, 2, 64:96, :64] = 0.5  # blue at row 2, columns 0 and 1
    maps = gradcam(network, picture.repeat(3, 1, 1, 1), [0, 1, 0])
    red, blue = np.zeros((3, 4)), np.zeros((3, 4))
    red[1, 3] = 1
    blue[2, :2] = 1
    np.testing.assert_allclose(maps, [red, blue, red], atol=1e-6)


def test_a_real_network_is_left_as_it_was_and_its_frozen_part_needs_no_gradient() -> None:
    network = Network(Backbone(SPEC, build_network(SPEC, 1)), nn.Linear(SPEC.feature_dim, 3)).eval()
    network.requires_grad_(False)
    network.head.weight.abs_()  # so that something speaks for every class
    before = {name: value.clone() for name, value in network.state_dict().items()}
    inputs = torch.randn(2, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    answers = network(inputs)
    maps = gradcam(network, inputs, [2, 0])
    assert maps.shape == (2, 3, 3) and maps.min() >= 0 and set(maps.max((1, 2))) <= {0.0, 1.0}
    assert torch.equal(network(inputs), answers)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    # Behind pooling and a linear head, Grad-CAM is what the head makes of each place (Zhou et al. 2016).
    last = [module for name, module in network.backbone.named_modules() if name.split(".")[-1] == "bn2"][-1]
    kept: list[torch.Tensor] = []
    handle = last.register_forward_hook(lambda _m, _i, output: kept.append(output))
    network(inputs)
    handle.remove()
    direct = torch.einsum("c,chw->hw", network.head.weight[2], kept[0][0]).relu()
    np.testing.assert_allclose(maps[0], (direct / direct.max()).numpy(), atol=1e-4)


def test_the_map_of_a_tuned_network_is_that_of_both_paths_together() -> None:
    backbone = Backbone(SPEC, build_network(SPEC, 1))
    tuned = backbone.copy_of_last(2)
    for parameter in tuned.parameters():
        parameter.data *= 1.2
    heads = [nn.Linear(SPEC.feature_dim, 3) for _ in range(2)]
    network = averaged_network(backbone, heads[0], tuned, heads[1]).eval()
    network.head.weight.data.abs_()
    inputs = torch.randn(1, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    maps = gradcam(network, inputs, [2])
    kept: list[torch.Tensor] = []
    norms = [module for name, module in network.named_modules() if name.endswith("layer4.bn2")]
    handles = [norm.register_forward_hook(lambda _m, _i, output: kept.append(output)) for norm in norms]
    network(inputs)
    for handle in handles:
        handle.remove()
    assert [output.shape for output in kept] == [(1, SPEC.feature_dim, 3, 3)] * 2
    direct = torch.einsum("c,chw->hw", network.head.weight[2], torch.cat(kept, 1)[0]).relu()
    np.testing.assert_allclose(maps[0], (direct / direct.max()).detach().numpy(), atol=1e-4)


@pytest.mark.parametrize("name", ["timm:vit_tiny_patch16_224", "timm:swin_tiny_patch4_window7_224"])
def test_a_transformer_has_no_map_rather_than_a_meaningless_one(name: str) -> None:
    spec = spec_of(name)
    network = Network(Backbone(spec, build_network(spec, 1)), nn.Linear(spec.feature_dim, 2)).eval()
    with pytest.raises(NoFeatureMap, match=name):
        gradcam(network, torch.zeros(1, 3, 224, 224), [0])


@pytest.mark.parametrize("name", ["timm:mobilenetv3_small_050", "timm:convnext_atto", "timm:ecaresnet26t"])
def test_convolutional_networks_of_timm_have_a_map(name: str) -> None:
    spec = spec_of(name)
    network = Network(Backbone(spec, build_network(spec, 1)), nn.Linear(spec.feature_dim, 2)).eval()
    maps = gradcam(network, torch.randn(1, 3, 96, 96, generator=torch.Generator().manual_seed(0)), [0])
    assert maps.shape == (1, 3, 3)
