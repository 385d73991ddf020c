"""Settings of several machines."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from workspace.config.section import EXECUTION_ONLY, Section


class ClusterConfig(Section):
    """Several machines for download, clean, features and curate; see docs/scale.md. The results are the same."""

    engine: Literal["", "ray", "dask"] = Field(
        "",
        description='Who runs the machines: "ray", or "dask" (tested on one machine, not measured); empty: this '
        "machine alone.",
        json_schema_extra=EXECUTION_ONLY,
    )
    address: str = Field(
        "auto",
        description="Where the cluster is, as HOST:PORT; auto: the one that this machine has joined (Ray only).",
        json_schema_extra=EXECUTION_ONLY,
    )
    shard: int = Field(
        1000,
        ge=1,
        description="Pictures that a worker decodes in one go, about 13 s of a core; other work is cut to as long a "
        "time. What a lost worker did not finish is done again.",
        json_schema_extra=EXECUTION_ONLY,
    )
    ahead: int = Field(
        2,
        ge=1,
        description="Shards handed out per core of the cluster; those beyond 1 wait there, so that no core does.",
        json_schema_extra=EXECUTION_ONLY,
    )
    feature_gpus: float = Field(
        0,
        ge=0,
        description="GPUs, or the share of one, that a worker takes for features; 0: features are computed on CPUs.",
        json_schema_extra=EXECUTION_ONLY,
    )
    scratch: str = Field(
        "",
        description="Folder on each worker for copies of files while they are used; empty: the system's folder for "
        "temporary files.",
        json_schema_extra=EXECUTION_ONLY,
    )

    @field_validator("address")
    @classmethod
    def _is_joined(cls, value: str) -> str:
        if value.startswith("ray://"):
            raise ValueError(
                f"{value} is Ray's client, which gives up when the network is broken for 30 s; join the cluster on "
                "this machine without giving it work (ray start --address=HOST:PORT --num-cpus=0), and set it to auto"
            )
        if value != "auto" and not value.rpartition(":")[0]:
            raise ValueError(f'{value!r} is neither "auto" nor HOST:PORT')
        return value
