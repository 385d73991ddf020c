"""clean and curate over shards: whatever the division, the facts, pairs and verdicts are those of one machine."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from preprocessing import clean
from preprocessing.duplicates.hash_search import near_pairs
from preprocessing.duplicates.registration_cache import register_pairs
from workspace.catalog.records import ImageFacts, Verdict
from workspace.errors import ShardLost


def everything(collected) -> tuple[list[ImageFacts], list[Verdict]]:
    with collected.workspace.open_catalog() as catalog:
        return catalog.all(ImageFacts), catalog.all(Verdict)


@pytest.fixture
def many(collected, picture, encode):
    """Pictures, copies that hashes find, one that only registration tells, and a broken file."""
    for seed in range(6):
        image = picture(seed, 160, 120)
        collected.add(encode(image), "a")
        collected.add(encode(image.resize((80, 60), Image.Resampling.BICUBIC), "JPEG", quality=80), "b")
    collected.add(encode(picture(2, 160, 120).crop((6, 5, 160, 120))), "a")
    collected.add(b"\xff\xd8\xff no picture", "a")
    return collected


def forget(collected) -> None:
    with collected.workspace.open_catalog() as catalog:
        catalog.delete(ImageFacts, "sha256", [facts.sha256 for facts in catalog.all(ImageFacts)])
        catalog.replace_verdicts(clean.STAGES, [])


@pytest.mark.parametrize(("shard", "places"), [(1, 3), (5, 2), (100, 1)])
def test_any_division_gives_the_facts_and_verdicts_of_one_machine(many, over_threads, shard, places) -> None:
    config = many.config(clean={"workers": 1})
    counts = clean.run(many.workspace, config)
    here = everything(many)
    assert len(here[0]) == 14 and any(verdict.reason == "near_copy" for verdict in here[1])
    forget(many)
    spread = over_threads(places=places, shard=shard)
    assert clean.run(many.workspace, config, spread=spread) == counts
    assert everything(many) == here
    assert len(spread.engine.submitted) >= 14 / shard
    assert any("search for copies" in name for name in spread.engine.submitted)


def test_pairs_are_registered_alike_wherever_they_are(many, over_threads) -> None:
    config = many.config(clean={"workers": 1})
    clean.run(many.workspace, config)
    with many.workspace.open_catalog() as catalog:
        names = [facts.sha256 for facts in catalog.all(ImageFacts) if not facts.error]
    pairs = [(a, b) for k, a in enumerate(names) for b in names[k + 1 : k + 4]]
    for folder in many.workspace.cache.glob("agreements-*"):
        folder.rename(folder.with_name("elsewhere"))
    here = register_pairs(many.workspace, config.clean, pairs)
    next(many.workspace.cache.glob("agreements-*")).rename(many.workspace.cache / "elsewhere-too")
    spread = over_threads(shard=5)
    assert register_pairs(many.workspace, config.clean, pairs, spread=spread) == here
    assert len(spread.engine.submitted) == -(-len(pairs) // 5)


def test_files_that_end_every_worker_are_named_the_others_are_stored_and_the_next_run_goes_on(
    many, over_threads
) -> None:
    config = many.config(clean={"workers": 1})
    doomed = min(path.stem for path in many.workspace.images.glob("*/*"))
    spread = over_threads(shard=4, lose=lambda shard, _tries: doomed in str(shard))
    with pytest.raises(ShardLost, match=f"decode: 3 worker processes ended over 4 pictures from {doomed} on"):
        clean.run(many.workspace, config, spread=spread)
    assert len(everything(many)[0]) == 10
    counts = clean.run(many.workspace, config, spread=over_threads(shard=4))
    assert (counts.done, counts.reused) == (4, 10)


WORDS = st.integers(0, 2**64 - 1)


@settings(max_examples=60)
@given(
    st.lists(st.tuples(WORDS, st.sets(st.integers(0, 63), max_size=6)), min_size=2, max_size=40),
    st.integers(0, 40),
    st.integers(1, 40),
)
def test_near_pairs_are_the_union_of_the_subsets_that_are_searched(bases, limit, shard) -> None:
    words = [base for base, _ in bases] + [base ^ sum(1 << bit for bit in bits) for base, bits in bases]
    phash = np.array([words, words[::-1]], np.uint64)

    class InParts:
        """Cuts as a cluster does, into parts of so many subsets, and does them here in another order."""

        alone = False

        def shard_size(self, _weight: float) -> int:
            return shard

        def share(self, value):
            return type("Kept", (), {"get": lambda _self: value})()

        def run(self, work, lanes, *, name):
            for lane in reversed(list(lanes)):
                for one in lane:
                    yield from work(one)

    def found(*spread) -> list[tuple[int, ...]]:
        chunks = near_pairs(phash, phash[:, ::-1], limit, 1, *spread)
        return sorted(row for chunk in chunks for row in zip(*(part.tolist() for part in chunk), strict=True))

    here = found()
    assert found(InParts()) == here
    assert len(set(here)) == len(here)
