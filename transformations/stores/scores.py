"""The scores of a model as a feature view, for feature repositories to declare in one line."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from feast import Entity, FeatureView, Field, FileSource, ValueType
from feast.types import Bool, FeastType, Float64, Int64, String

from transformations.engine.base.errors import DefinitionError
from transformations.engine.base.moments import CREATED_TIMESTAMP, EVENT_TIMESTAMP
from transformations.engine.base.settings import get_settings
from transformations.stores.base.places import portable_path

MODEL = "model"
"""The tag that names the model whose scores a view holds."""
SCORES = "scores"
"""The folder of a model's predictions from which its score view reads."""
_KEYS: Mapping[ValueType, FeastType] = {ValueType.INT64: Int64, ValueType.INT32: Int64, ValueType.STRING: String}


def score_view(
    model: str,
    *,
    owner: str,
    entity: Entity | None = None,
    entities: tuple[Entity, ...] = (),
    unit: str = "probability",
    expect: str = "between(0, 1)",
    ttl: timedelta | None = None,
    tags: Mapping[str, str] | None = None,
) -> FeatureView:
    """The view `<model>_scores` of what `features model predict <model> --online` publishes.

    Features: `<model>_score` (Float64), `<model>_decision` (Bool, null without one), `<model>_version` (Int64). A row's
    event timestamp is the moment of the features that it was scored by; its created timestamp is when the batch was
    made. unit, expect: of the score; of a regression say what it predicts. ttl: for how long a score counts; the
    default, for ever, keeps one until the next batch.
    """
    given = [entity, *entities] if entity else list(entities)
    if not given:
        raise DefinitionError(f"{model}: a view of scores needs an entity. Say whose scores they are: entity=….")
    name = f"{model}_{SCORES}"
    return FeatureView(
        name=name,
        entities=given,
        schema=[
            *(_key_field(each) for each in given),
            Field(
                name=f"{model}_score",
                dtype=Float64,
                description=f"What model {model} says",
                tags={"unit": unit, "expect": expect},
            ),
            Field(
                name=f"{model}_decision",
                dtype=Bool,
                description=f"Whether model {model} says to act",
                tags={"unit": "true or false"},
            ),
            Field(
                name=f"{model}_version",
                dtype=Int64,
                description=f"The version of model {model} that says so",
                tags={"unit": "version", "expect": "at_least(1)"},
            ),
        ],
        source=FileSource(
            name=name,
            path=portable_path(get_settings().predictions_dir / model / SCORES, get_settings()),
            timestamp_field=EVENT_TIMESTAMP,
            created_timestamp_column=CREATED_TIMESTAMP,
            owner=owner,
            description=f"Scores in batch of model {model}",
        ),
        ttl=ttl or timedelta(0),
        tags={**(tags or {}), MODEL: model},
        owner=owner,
        description=f"What model {model} says of an entity, scored in batch",
    )


def _key_field(entity: Entity) -> Field:
    dtype = _KEYS.get(entity.value_type)
    if dtype is None:
        raise DefinitionError(f"entity {entity.name} has no value_type of INT64, INT32 or STRING. Give it one.")
    return Field(name=entity.join_key, dtype=dtype, description=entity.description)
