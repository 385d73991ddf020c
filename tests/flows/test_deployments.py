"""prefect.yaml, its variants and the recipes of docs/howto/prefect.md, read by Prefect's own models."""

import asyncio
import inspect
import json
import re
from pathlib import Path
from types import SimpleNamespace
from uuid import UUID

import pytest
import yaml
from prefect.cli.deploy._models import ConcurrencyLimitSpec, DeploymentConfig, PrefectYamlModel, RawScheduleConfig
from prefect.client.schemas.objects import ConcurrencyLimitStrategy
from prefect.events.actions import SendNotification
from prefect.events.schemas.automations import AutomationCore, EventTrigger
from prefect.utilities.importtools import import_object
from prefect.workers.process import ProcessJobConfiguration, ProcessWorker

CHECKOUT = Path(__file__).resolve().parents[2]
FILES = ("prefect.yaml", "docs/prefect/docker.yaml", "docs/prefect/git.yaml")
PAGE = CHECKOUT / "docs" / "howto" / "prefect.md"


def document(file: str) -> dict:
    return yaml.safe_load((CHECKOUT / file).read_text(encoding="utf-8"))


@pytest.mark.parametrize("file", FILES)
def test_prefect_reads_the_deployments_and_knows_every_word_of_them(file: str) -> None:
    """Its models pass over a word that they do not know; so the words are compared here."""
    raw = document(file)
    model = PrefectYamlModel.model_validate(raw)
    assert raw.keys() - {"definitions", "prefect-version"} <= PrefectYamlModel.model_fields.keys()
    assert len(model.deployments) == 5
    for written, deployment in zip(raw["deployments"], model.deployments, strict=True):
        assert written.keys() <= DeploymentConfig.model_fields.keys(), written["name"]
        assert isinstance(deployment.concurrency_limit, ConcurrencyLimitSpec)
        assert written["concurrency_limit"].keys() <= ConcurrencyLimitSpec.model_fields.keys()
        assert deployment.concurrency_limit.limit == 1
        assert ConcurrencyLimitStrategy(deployment.concurrency_limit.collision_strategy).name == "ENQUEUE"
        schedules = deployment.schedules or []
        assert all(isinstance(schedule, RawScheduleConfig) and schedule.slug for schedule in schedules)
        for step in deployment.pull or []:
            (name, inputs), *more = step.items()
            assert not more
            assert inputs.keys() <= inspect.signature(import_object(name)).parameters.keys(), name


@pytest.mark.parametrize("file", FILES[1:])
def test_a_variant_deploys_what_prefect_yaml_does_but_for_pool_and_code(file: str) -> None:
    def essence(name: str) -> list[dict]:
        """In the image each flow has its name in the wheel."""
        found = []
        for one in document(name)["deployments"]:
            module = one["entrypoint"].replace(".py:", ".").replace("/", ".").removeprefix("collect_and_train.")
            found.append({key: value for key, value in one.items() if key not in ("work_pool", "pull")})
            found[-1]["entrypoint"] = module
        return found

    assert essence(file) == essence("prefect.yaml")


def test_what_the_git_variant_sets_is_a_job_variable_of_a_process_pool() -> None:
    known = ProcessWorker.get_default_base_job_template()["variables"]["properties"]
    for deployment in document("docs/prefect/git.yaml")["deployments"]:
        assert deployment["work_pool"]["job_variables"].keys() <= known.keys()


def test_the_automation_tells_of_failed_and_crashed_runs_of_these_deployments() -> None:
    raw = document("docs/prefect/notify.yaml")
    automation = AutomationCore.model_validate(raw)
    assert raw.keys() <= AutomationCore.model_fields.keys()
    assert isinstance(automation.trigger, EventTrigger)
    assert raw["trigger"].keys() <= EventTrigger.model_fields.keys()
    assert automation.trigger.expect == {"prefect.flow-run.Failed", "prefect.flow-run.Crashed"}
    (action,) = automation.actions
    assert isinstance(action, SendNotification)
    assert action.block_document_id == UUID(int=0)  # to be replaced, as the file says
    tags = {tag for deployment in document("prefect.yaml")["deployments"] for tag in deployment["tags"]}
    assert raw["trigger"]["match_related"]["prefect.resource.id"] == f"prefect.tag.{tags.pop()}" and not tags


def test_a_key_in_a_secret_block_reaches_the_run_through_the_pool_and_stands_in_no_deployment(
    tmp_path, monkeypatch
) -> None:
    """The recipe of the page, on Prefect's own template; its worker looks the block up for each run."""
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    Path("pool.json").write_text(json.dumps(ProcessWorker.get_default_base_job_template()))
    exec(compile(code, "recipe.py", "exec"), {})
    template = json.loads(Path("pool.json").read_text())
    asked = []

    async def read_block_document_by_name(name: str, block_type_slug: str) -> SimpleNamespace:
        asked.append((block_type_slug, name))
        return SimpleNamespace(data={"value": "the key"})

    client = SimpleNamespace(read_block_document_by_name=read_block_document_by_name)
    job = asyncio.run(
        ProcessJobConfiguration.from_template_and_values(template, {"env": {"OTHER": "1"}}, client=client)  # type: ignore[arg-type]
    )
    assert job.env == {"FLICKR_API_KEY": "the key", "OTHER": "1"}
    assert asked == [("secret", "flickr-api-key")]
    assert "the key" not in json.dumps(template)
    assert not any(
        "prefect.blocks" in json.dumps(one.get("work_pool")) for file in FILES for one in document(file)["deployments"]
    )


@pytest.mark.parametrize("file", FILES)
def test_every_entry_point_is_a_flow(file: str) -> None:
    for deployment in document(file)["deployments"]:
        path = deployment["entrypoint"].replace(".py:", ".").replace("/", ".")
        assert import_object(path).name in {"collect-and-train", "collect", "retrain", "watch", "drift"}
