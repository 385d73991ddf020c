from __future__ import annotations

import numpy as np
import pytest
import torch

from preprocessing.images.pixel_cache import PixelCache
from training.network import features
from training.network.backbone import load_backbone, normalised
from training.network.device import choose_device
from training.network.features import Extractor
from training.network.view_source import clean_views
from workspace.errors import ConfigError
from workspace.progress import SILENT


class Listener:
    def __init__(self) -> None:
        self.said: list[str] = []
        self.advanced = 0

    def begin(self, what, total):
        pass

    def advance(self, count=1):
        self.advanced += count

    def say(self, message):
        self.said.append(message)

    warn = say


def kept(workspace):
    with workspace.open_catalog() as catalog:
        return sorted(sha for sha, _ in catalog.kept())


def extractor(workspace, config):
    backbone, _ = load_backbone(config.train, config.seed)
    return Extractor(workspace, config, backbone, choose_device("cpu"))


def test_every_kept_picture_gets_the_networks_own_features_once(trainable, settings):
    workspace, config, listener = trainable("w"), settings(), Listener()
    first = features.run(workspace, config, listener)
    assert (first.done, first.reused, first.by_reason) == (24, 0, {"pictures": 24})
    assert listener.advanced == 24
    assert "means nothing" in listener.said[0]
    again = features.run(workspace, config, SILENT)
    assert (again.done, again.reused, again.by_reason) == (0, 24, {"pictures": 24})

    keys = kept(workspace)
    stored = extractor(workspace, config)
    backbone, _ = load_backbone(config.train, config.seed)
    pixels = PixelCache(workspace, config.clean)
    views = torch.from_numpy(clean_views(pixels, backbone.spec, keys[:3]))
    with torch.inference_mode():
        inputs = normalised(views, backbone.spec.mean, backbone.spec.std)
        activations = backbone.stages[:-1](inputs)
        expected = backbone.stages[-1](activations).numpy()
        assert np.allclose(stored.head_features(keys[:3]), backbone(inputs).numpy(), atol=1e-4)
    assert np.allclose(stored.features.get(keys[:3]), expected, atol=1e-4)
    pooled = stored.pooled(keys[:3])
    assert list(pooled) == ["layer4", "layer3", "layer2"]
    assert np.allclose(pooled["layer3"], activations.mean((2, 3)).numpy(), atol=1e-4)
    spread = stored.statistics["layer3"].get(keys[:3])[:, activations.shape[1] :]
    assert np.allclose(spread, activations.std((2, 3), correction=0).numpy(), atol=1e-3)
    assert stored.features.get(keys).dtype == np.float32


def test_a_kill_loses_one_batch_at_most_and_changes_no_bit(trainable, settings, monkeypatch):
    whole, broken, config = trainable("whole"), trainable("broken"), settings()
    features.run(whole, config)
    read, count = PixelCache.read, iter(range(100))

    def dies(self, key):
        if next(count) == 19:  # in the third batch of eight
            raise KeyboardInterrupt
        return read(self, key)

    monkeypatch.setattr(PixelCache, "read", dies)
    with pytest.raises(KeyboardInterrupt):
        features.run(broken, config)
    monkeypatch.setattr(PixelCache, "read", read)
    keys = kept(broken)
    there = len(keys) - len(extractor(broken, config).features.missing(keys))
    assert there == 16
    shards = {path: path.read_bytes() for path in broken.cache.glob("features-*/*")}
    resumed = features.run(broken, settings(features__workers=2))
    assert (resumed.done, resumed.reused) == (8, 16)
    assert all(path.read_bytes() == data for path, data in shards.items())
    one, two = (extractor(place, config) for place in (whole, broken))
    assert np.array_equal(one.features.get(keys), two.features.get(keys))
    assert all(
        np.array_equal(one.statistics[stage].get(keys), two.statistics[stage].get(keys)) for stage in one.statistics
    )


def test_no_bit_depends_on_how_many_pictures_are_computed_at_once(trainable, settings):
    config, whole, parted = settings(), trainable("whole"), trainable("parted")
    features.run(whole, config)
    keys, counts = kept(parted), [1, 2, 3, 5, 13]
    for count in counts:
        some, keys = keys[:count], keys[count:]
        extractor(parted, config).extract_clean(some, SILENT)
    assert not keys
    one, two = (extractor(place, config) for place in (whole, parted))
    keys = kept(whole)
    for first, second in (
        (one.features, two.features),
        *zip(one.statistics.values(), two.statistics.values(), strict=True),
    ):
        assert np.array_equal(first.get(keys), second.get(keys))


def test_what_the_numbers_depend_on_names_their_folder(trainable, settings):
    workspace = trainable("w")
    folders = {
        extractor(workspace, settings(**change)).features.folder
        for change in ({}, {"seed": 1}, {"clean__cache_side_px": 300}, {"train__backbone": "resnet50"})
    }
    assert len(folders) == 4
    assert extractor(workspace, settings(features__batch_size=3)).features.folder in folders


def test_a_gpu_that_is_not_there_is_an_error(trainable, settings, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match="train.device"):
        features.run(trainable("w"), settings(train__device="cuda"))


def test_no_number_depends_on_the_workers(trainable, settings):
    stores = []
    for workers in (0, 1, 2):
        workspace, config = trainable(f"w{workers}"), settings(features__workers=workers, features__batch_size=3)
        keys = kept(workspace)[:7]
        made = extractor(workspace, config)
        made.extract_clean(keys, SILENT)
        stores.append((made.features.get(keys), made.head_features(keys)))
    for other in stores[1:]:
        assert all(np.array_equal(one, two) for one, two in zip(stores[0], other, strict=True))


def test_features_are_the_same_wherever_they_are_computed_and_the_network_is_loaded_once(
    trainable, settings, over_threads, monkeypatch
):
    one, two, config = trainable("one"), trainable("two"), settings()
    features.run(one, config)
    spread = over_threads(places=1, shard=7)  # less than a batch of 8
    loaded = []
    monkeypatch.setattr(features, "load_backbone", lambda *args: loaded.append(args) or load_backbone(*args))
    counts = features.run(two, config, spread=spread)
    assert counts.done == 24 and len(spread.engine.submitted) == 3
    assert len(loaded) == 1, "here; a worker in another process loads it once more"
    keys = kept(one)
    here, there = extractor(one, config), extractor(two, config)
    assert np.array_equal(here.features.get(keys), there.features.get(keys))
    for stage in here.statistics:
        assert np.array_equal(here.statistics[stage].get(keys), there.statistics[stage].get(keys))


def test_a_worker_that_would_compute_other_numbers_says_so(trainable, settings):
    workspace, config = trainable("w"), settings()
    shard = features.FeatureShard(kept(workspace), workspace, config, "resnet50-of-somebody-else")
    with pytest.raises(
        ConfigError, match="a worker would compute features .*, and the flow's machine resnet50-of-some"
    ):
        list(features.extract_shard(shard))


def test_no_key_of_a_source_travels_with_features(trainable, settings, over_threads):
    workspace, config = trainable("w"), settings()
    search = config.search.model_validate({"credentials": {"FLICKR_API_KEY": "secret"}})
    spread = over_threads()
    features.run(workspace, config.model_copy(update={"search": search}), spread=spread)
    assert spread.engine.sent and b"secret" not in b"".join(spread.engine.sent)
