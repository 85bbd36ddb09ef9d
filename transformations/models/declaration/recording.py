"""What becomes of personal data in the record of predictions, as a model declares it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from transformations.models.records.base import Part

Treatment = Literal["keep", "hash", "drop"]
"""keep: as it was served. hash: by HMAC-SHA-256 with FEATURES_RECORD_KEY, so that equal values stay equal and nobody
without the key can try values out. drop: absent."""


class Recording(Part):
    """What becomes of a recorded value, by the class of personal data that its contract gives it.

    fields: of single join keys, request fields and features by name, whatever their class; request fields have none.
    """

    pseudonymous: Treatment = "keep"
    personal: Treatment = "keep"
    sensitive: Treatment = "keep"
    fields: dict[str, Treatment] = Field(default_factory=dict)

    @property
    def keeps_all(self) -> bool:
        """Whether nothing is hashed or dropped."""
        return {self.pseudonymous, self.personal, self.sensitive, *self.fields.values()} == {"keep"}

    def treatment(self, name: str, pii: str) -> Treatment:
        """Of a field with a class of personal data, or `none`."""
        by_class: dict[str, Treatment] = {
            "pseudonymous": self.pseudonymous,
            "personal": self.personal,
            "sensitive": self.sensitive,
        }
        return self.fields.get(name, by_class.get(pii, "keep"))
