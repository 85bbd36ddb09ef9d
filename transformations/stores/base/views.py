"""Definitions as Feast objects: the feature view of a definition, and what a feature repository offers."""

from __future__ import annotations

import contextlib
import importlib
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

from feast import Entity, FeatureView, Field, FileSource, Project
from feast.data_format import DeltaFormat
from feast.repo_config import load_repo_config
from feast.repo_contents import RepoContents

from transformations.contracts import PII_CLASSES, Contract, read_contract
from transformations.contracts.zones import zone_of_sources
from transformations.engine.base.errors import DefinitionError, refuse_hidden
from transformations.engine.base.moments import CREATED_TIMESTAMP, EVENT_TIMESTAMP
from transformations.engine.base.settings import Settings, get_settings
from transformations.engine.vocabulary.aggregations import First, Mean, Min, Ratio, Share, Variance
from transformations.engine.vocabulary.definitions import Definition, PlainFeatures, WindowedFeatures
from transformations.engine.vocabulary.dtypes import FLOAT64, INT64, UNIX_TIMESTAMP
from transformations.engine.vocabulary.resolution import Feature, Resolved, resolve
from transformations.stores.base.domain_files import domain_modules, place_of
from transformations.stores.base.places import portable_path
from transformations.stores.base.values import feast_type

DEFINITION = "definition"
DEFINITION_HASH = "definition_hash"
FEATURE_HASHES = "feature_hashes"
PII = "pii"
"""The tag of a view, feature or key: its class of personal data, where it is any."""
OVER_TIME = "over_time"
"""The tag of a feature that moves by construction: what it does as time passes."""
ADDS_UP, EXTENDS, SETTLES, AGES = "adds up", "extends", "settles", "ages"
"""Its values: a lifetime's counts and sums add up, its extremes go one way, its means and shares settle; a moment that
stays where it is ages."""
OUR_TAGS = (DEFINITION, DEFINITION_HASH, FEATURE_HASHES, "sources", "available_after", PII)
"""The tags that `feature_view` sets."""


class Offer(NamedTuple):
    """A view that a feature repository offers, with the definition it was made of."""

    view: FeatureView
    definition: Definition


def feature_view(
    definition: Definition,
    *,
    owner: str,
    entity: Entity | None = None,
    entities: Sequence[Entity] = (),
    tags: Mapping[str, str] | None = None,
    online: bool = True,
    ttl: timedelta | None = None,
) -> FeatureView:
    """The Feast view of a definition, over the offline table of its name. Assign it at module level, where Feast looks.

    entity, or entities for a composite key: must have the definition's join keys. ttl: counted from a row's event
    timestamp, inclusive at both ends; only for plain features, because a windowed view is written only on change, and a
    ttl would null every quiet entity.

    Errors: DefinitionError, also if the definition does not fit its contracts; ContractError for a missing contract.
    """
    given = [entity, *entities] if entity else list(entities)
    settings = get_settings()
    resolved = resolve(definition, contract_reader(settings))
    _check_view(resolved, given, owner, tags or {}, ttl)
    lineage = _lineage_tags(resolved)
    schema = [*_key_fields(resolved), *(_feature_field(resolved, feature) for feature in resolved.features)]
    pii = highest_pii(field.tags.get(PII, PII_CLASSES[0]) for field in schema)
    return FeatureView(
        name=definition.name,
        entities=given,
        schema=schema,
        source=FileSource(
            name=definition.name,
            path=portable_path(settings.offline_dir / definition.name, settings),
            # Parquet alone would also match files that no version refers to; our store resolves the log itself.
            file_format=DeltaFormat(),
            timestamp_field=EVENT_TIMESTAMP,
            created_timestamp_column=CREATED_TIMESTAMP,
            tags=lineage,
            owner=owner,
            description=definition.description,
        ),
        ttl=ttl or timedelta(0),
        online=online,
        tags={**(tags or {}), **lineage, **({} if pii == PII_CLASSES[0] else {PII: pii})},
        owner=owner,
        description=definition.description,
    )


def contract_reader(settings: Settings) -> Callable[[str], Contract]:
    """The function that `resolve` reads contracts with, from the settings' folder."""
    return lambda name: read_contract(name, settings.contracts)


def read_offers(repo: Path) -> list[Offer]:
    """The views that a feature repository offers and their definitions, found as Feast finds them.

    DefinitionError if two views write one table, or a definition is in no domain file.
    """
    offers = [
        Offer(view, _definition_of(view)) for view in contents(repo).feature_views if DEFINITION_HASH in view.tags
    ]
    writers: dict[str, str] = {}
    for view, _ in offers:
        table = _table_of(view)
        if table in writers:
            raise DefinitionError(
                f"{repo}: two views write the table {table}. Remove one of them, or rename its definition."
            )
        writers[table] = view.name
    return offers


def _table_of(view: FeatureView) -> str:
    """The path of the table that a view of a definition reads."""
    if not isinstance(view.batch_source, FileSource):
        raise DefinitionError(f"{view.name}: its source is another than `feature_view` gave it. Leave that as it is.")
    return view.batch_source.path


def find_unoffered(offers: Sequence[Offer]) -> dict[str, Definition]:
    """Definitions in `transformations/<domain>.py` that no view offers, by their place (`module:attribute`)."""
    known = {id(offer.definition) for offer in offers}
    found: dict[str, Definition] = {}
    for module in domain_modules():
        for attribute, value in vars(module).items():
            if isinstance(value, WindowedFeatures | PlainFeatures) and id(value) not in known:
                known.add(id(value))
                found[f"{module.__name__}:{attribute}"] = value
    return found


def contents(repo: Path) -> RepoContents:
    """Everything that a feature repository declares, by Feast's own discovery; its modules are loaded afresh."""
    from feast.repo_operations import parse_repo

    if not repo.is_dir():
        raise DefinitionError(f"{repo} is no folder. Name the feature repository, which holds feature_store.yaml.")
    folder = repo.resolve()
    with _fresh_imports(folder):
        return parse_repo(folder)


def contents_of_project(repo: Path) -> RepoContents:
    """The same, with the project that Feast adds where none is declared."""
    declared = contents(repo)
    if not declared.projects:
        config = load_repo_config(repo, repo / "feature_store.yaml")
        declared.projects.append(Project(name=config.project, description=config.project_description or ""))
    return declared


@contextlib.contextmanager
def _fresh_imports(repo: Path) -> Iterator[None]:
    """Import a repository's modules as Feast does: by path from its folder, which comes last on sys.path.

    Meanwhile no other repository stands there, as the code of a served one does: their modules have the same names.
    """
    names = {path.relative_to(repo).with_suffix("").as_posix().replace("/", ".") for path in repo.rglob("*.py")}
    before = {name: sys.modules.pop(name) for name in names & set(sys.modules)}
    path = list(sys.path)
    repositories = {entry for entry in path if (Path(entry) / "feature_store.yaml").is_file()}
    try:
        with contextlib.chdir(repo):
            sys.path[:] = [*(entry for entry in path if entry not in repositories), str(repo)]
            importlib.invalidate_caches()
            yield
    finally:
        sys.path[:] = path + [entry for entry in sys.path if entry not in (*path, str(repo))]
        for name in names & set(sys.modules):
            del sys.modules[name]
        sys.modules.update(before)


def _check_view(
    resolved: Resolved, entities: Sequence[Entity], owner: str, tags: Mapping[str, str], ttl: timedelta | None
) -> None:
    definition = resolved.definition
    if not owner.strip():
        raise DefinitionError(f"{definition.name} has no owner. Nothing is applied without one: write owner=….")
    refuse_hidden(definition.name, owner=owner, tags=" ".join([*tags, *tags.values()]))
    keys = [entity.join_key for entity in entities]
    if sorted(keys) != sorted(definition.join_keys):
        raise DefinitionError(
            f"{definition.name} is keyed by {', '.join(definition.join_keys)}, "
            f"its entities by {', '.join(keys) or 'nothing'}. Pass the entity of each join key."
        )
    for feature in resolved.features:
        if feature.dtype in (INT64, FLOAT64) and feature.declared.expect is None:
            raise DefinitionError(
                f"{definition.name}: {feature.name} is a number without an expected range. Write expect=…, such as "
                f"at_least(0) or between(0, 1); ANYTHING says that there is none."
            )
    if isinstance(definition, WindowedFeatures) and ttl is not None:
        raise DefinitionError(
            f"{definition.name} has windows and a ttl. Its rows are written only on change, so a ttl would null every "
            f"quiet entity. Leave the ttl out; `features status` shows a stopped pipeline."
        )
    for tag in OUR_TAGS:
        if tag in tags:
            raise DefinitionError(f"{definition.name}: the tag {tag!r} is set by us. Use another name for yours.")


def _key_fields(resolved: Resolved) -> list[Field]:
    columns = {column.name: column for each in _contracts_of(resolved) for column in each.columns}
    return [
        Field(
            name=key,
            dtype=feast_type(dtype),
            description=columns[key].description,
            tags=_tags_of_columns(resolved, frozenset([key])),
        )
        for key, dtype in resolved.join_keys.items()
    ]


def _feature_field(resolved: Resolved, feature: Feature) -> Field:
    declared = feature.declared
    facts = {
        "unit": declared.aggregation.unit,
        "expect": None if declared.expect is None else str(declared.expect),
        "unseen": None if declared.aggregation.unseen is None else str(declared.aggregation.unseen),
        "window": str(declared.window) if isinstance(resolved.definition, WindowedFeatures) else None,
        OVER_TIME: over_time(resolved, feature),
        **_tags_of_columns(resolved, declared.aggregation.columns()),
    }
    return Field(
        name=feature.name,
        dtype=feast_type(feature.dtype),
        description=declared.description,
        tags={name: fact for name, fact in facts.items() if fact},
    )


def over_time(resolved: Resolved, feature: Feature) -> str | None:
    """What a feature does by construction as time passes; None where it may go either way, or stay."""
    declared, is_moment = feature.declared, feature.dtype == UNIX_TIMESTAMP
    if isinstance(resolved.definition, PlainFeatures):
        return AGES if is_moment else None
    if declared.window.days is not None:
        return None
    if feature.dtype in (INT64, FLOAT64) and declared.aggregation.accumulates:
        return EXTENDS if isinstance(declared.aggregation, Min) else ADDS_UP
    if isinstance(declared.aggregation, Mean | Ratio | Share | Variance):
        return SETTLES
    return AGES if is_moment and type(declared.aggregation) is First else None


def _tags_of_columns(resolved: Resolved, names: frozenset[str]) -> dict[str, str]:
    """The source columns behind these columns, and the highest class of personal data among them, where it is any."""
    places = resolved.source_columns(names)
    columns = {f"{each.name}.{column.name}": column for each in _contracts_of(resolved) for column in each.columns}
    pii = highest_pii(columns[place].pii for place in places)
    return {"columns": ", ".join(places), **({} if pii == PII_CLASSES[0] else {PII: pii})}


def highest_pii(classes: Iterable[str]) -> str:
    """The highest of these classes of personal data; the lowest of all without any."""
    return max(classes, key=PII_CLASSES.index, default=PII_CLASSES[0])


def feature_hashes_of(view: FeatureView) -> dict[str, str]:
    """Each feature's hash, as registered with the view; empty for views registered by older code."""
    return dict(json.loads(view.tags.get(FEATURE_HASHES, "{}")))


def zone_of_views(views: Iterable[FeatureView]) -> str:
    """The zone in which moments of these views are shown: their sources' timestampZone, UTC where these differ."""
    sources = {name for view in views for name in view.tags.get("sources", "").split(", ") if name}
    return zone_of_sources(sources, get_settings().contracts)


def _lineage_tags(resolved: Resolved) -> dict[str, str]:
    place = place_of(resolved.definition)
    seconds = resolved.definition.available_after.total_seconds()
    return {
        **({DEFINITION: place} if place else {}),
        DEFINITION_HASH: resolved.hash,
        FEATURE_HASHES: json.dumps(dict(resolved.feature_hashes), separators=(",", ":")),
        "sources": ", ".join(resolved.source_names),
        "available_after": f"{seconds / 3600:g} hours",
    }


def _contracts_of(resolved: Resolved) -> list[Contract]:
    return [*resolved.lookups.values(), resolved.contract]


def _definition_of(view: FeatureView) -> Definition:
    place = view.tags.get(DEFINITION)
    if place is None:
        raise DefinitionError(
            f"{view.name}: its definition is in no domain file, so a build cannot find it. Assign it to a name in "
            f"transformations/<domain>.py and pass that to feature_view."
        )
    module, _, attribute = place.partition(":")
    definition = getattr(importlib.import_module(module), attribute, None)
    if not isinstance(definition, WindowedFeatures | PlainFeatures):
        raise DefinitionError(f"{view.name}: {place} is no definition. Move it to transformations/<domain>.py.")
    return definition
