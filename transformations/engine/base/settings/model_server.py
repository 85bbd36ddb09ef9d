"""What the model server can be told, and the record of predictions that it keeps."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SecretStr
from pydantic_settings import BaseSettings


def _hashes(value: SecretStr) -> SecretStr:
    for each in value.get_secret_value().split(","):
        if len(each.strip()) != 64 or set(each.strip()) - set("0123456789abcdef"):
            raise ValueError("each is the SHA-256 of a token in hexadecimal")
    return value


class ModelServerSettings(BaseSettings):
    """The settings of `features model serve` (`predict_…`), and of the record of predictions (`record_…`)."""

    predict_models: str = Field(
        "",
        pattern=r"^([a-z][a-z0-9_]*(,[a-z][a-z0-9_]*)*)?$",
        description="The models that an application server's workers answer for; `features model serve` sets it",
        examples=["user_churn,user_value"],
    )
    predict_tokens: Annotated[SecretStr, AfterValidator(_hashes)] | None = Field(
        None,
        description="SHA-256 of each bearer token that the model server takes, separated by commas; unset: it asks for "
        "none",
        examples=["c4bbcb1fbec99d65bf59d85c8cb62ee2db963f0fe106f483d9afa73bd4e39a8a"],
    )
    predict_max_rows: int = Field(1_000, gt=0, description="Most rows of one request for predictions", examples=["100"])
    predict_max_body_mb: int = Field(
        4,
        gt=0,
        description="Largest body of one request for predictions, in MB; while one is read, a worker answers nobody",
        examples=["16"],
    )
    predict_concurrency: int = Field(
        64, gt=0, description="Most requests that a worker works on at once; beyond, it answers 503", examples=["16"]
    )
    predict_deadline_ms: int = Field(
        1_000, gt=0, description="Longest time from a request to its scores, in milliseconds", examples=["200"]
    )
    predict_poll_seconds: float = Field(
        1.0, gt=0, le=60, description="How often a model server looks for new events of its models", examples=["0.5"]
    )
    predict_decides: bool = Field(
        False,
        description="Whether model servers take the steps of rollouts themselves, one of them at a time, in place of a "
        "scheduler that runs `features model rollout NAME --step`",
        examples=["true"],
    )

    record_sync: str = Field(
        "1000",
        pattern=r"^(never|each|[1-9]\d{0,6})$",
        description="When recorded predictions are forced to disk: after so many milliseconds, `each` request, `never`",
        examples=["each"],
    )
    record_when_full: Literal["refuse", "answer"] = Field(
        "refuse",
        description="What a request gets whose prediction cannot be recorded: a refusal, or an unrecorded answer",
        examples=["answer"],
    )
    record_backlog_mb: int = Field(
        1_024, gt=0, description="How much may wait to be collected before the record is full, in MB", examples=["4096"]
    )
    record_segment_mb: int = Field(
        64, gt=0, description="From which size a segment of the record is closed, in MB", examples=["16"]
    )
    record_segment_seconds: float = Field(
        60, gt=0, description="From which age a segment of the record is closed, in seconds", examples=["10"]
    )
    record_key: SecretStr | None = Field(
        None,
        min_length=16,
        description="The key of hashed personal data in the record, at least 16 characters",
        examples=["$(openssl rand -hex 32)"],
    )
    predictions_keep_days: int = Field(
        90, gt=0, description="How long the table versions behind a prediction are kept, in days", examples=["365"]
    )
