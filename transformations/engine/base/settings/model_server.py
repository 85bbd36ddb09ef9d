"""What the model server can be told, and the record of predictions that it keeps."""

from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings


class ModelServerSettings(BaseSettings):
    """The settings of `features model serve`, and of the record of predictions. Fields of the record: `record_…`."""

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
