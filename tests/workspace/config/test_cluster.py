"""[cluster] says where work is done: it shapes no model, and no key of a source goes to a worker."""

from workspace.config.model import WorkspaceConfig, parse_config
from workspace.config.template import render_config
from workspace.storage.run import differing_settings, model_settings

CLASSES = '[classes]\na = "a"\nb = "b"\n'
CLUSTER = """[cluster]
engine = "ray"
address = "10.0.0.1:6379"
shard = 7
ahead = 3
feature_gpus = 0.5
scratch = "/fast"
"""


def test_no_value_of_it_is_part_of_a_runs_id_or_keeps_a_retraining_apart() -> None:
    plain, spread = (parse_config(CLASSES + more, "workspace.toml") for more in ("", CLUSTER))
    assert all(getattr(plain.cluster, name) != value for name, value in spread.cluster.model_dump().items())
    assert model_settings(plain) == model_settings(spread)
    assert differing_settings(plain, spread) == []
    assert parse_config(render_config(spread), "workspace.toml") == spread


def test_what_a_worker_gets_holds_no_key() -> None:
    config = WorkspaceConfig.model_validate(
        {"classes": {"a": "a", "b": "b"}, "search": {"credentials": {"FLICKR_API_KEY": "secret"}, "per_class": 7}}
    )
    sent = config.without_keys()
    assert not sent.search.credentials and "secret" not in repr(sent.model_dump())
    assert sent.model_copy(update={"search": config.search}) == config
