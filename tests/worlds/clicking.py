"""A small project for the commands: two contracts, one domain, a feature repository, literal events, real stores."""

import importlib
import shutil
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import transformations
from tests.worlds.feast_stores import apply_at_once
from tests.worlds.once import made_once
from transformations.cli.main import module_of
from transformations.engine.base.settings import Settings, get_settings
from transformations.local import redis as embedded

CLICKS = """
apiVersion: v3.1.0
kind: DataContract
id: clicks
name: Clicks
version: 1.0.0
status: active
team: {name: web}
schema:
  - name: clicks
    logicalType: object
    description: One click
    customProperties:
      - {property: eventTime, value: clicked_at}
      - {property: timestampZone, value: UTC}
      - {property: businessDayZone, value: America/New_York}
      - {property: delivery, value: append}
    properties:
      - {name: click_id, logicalType: integer, required: true, primaryKey: true, description: The click}
      - {name: user_id, logicalType: integer, required: true, description: The user}
      - {name: page, logicalType: string, required: true, description: The page}
      - name: seconds
        logicalType: number
        required: true
        description: How long it was looked at
        logicalTypeOptions: {minimum: 0}
        customProperties: [{property: unit, value: seconds}]
      - {name: clicked_at, logicalType: timestamp, required: true, description: When}
"""

PAGES = """
apiVersion: v3.1.0
kind: DataContract
id: pages
name: Pages
version: 1.0.0
status: active
team: {name: web}
schema:
  - name: pages
    logicalType: object
    description: One page
    customProperties:
      - {property: businessDayZone, value: America/New_York}
      - {property: validFrom, value: "2024-01-01T00:00:00-05:00"}
      - {property: delivery, value: snapshot}
    properties:
      - {name: page, logicalType: string, required: true, primaryKey: true, description: The page}
      - {name: topic, logicalType: string, required: true, description: What it is about}
"""

DOMAIN = '''
"""Features of a user."""

from transformations import LIFETIME, Count, Last, Lookup, Sum, WindowedFeatures, at_least, days, hours

user_clicks = WindowedFeatures(
    name="user_clicks",
    join_key="user_id",
    source="clicks",
    windows=[days(7)],
    available_after=hours(2),
    description="What a user clicks",
    features=[
        Count(name="clicks", description="Clicks", unit="clicks", expect=at_least(0), unseen=0),
        Sum("seconds", name="attention_seconds", description="Attention", unit="seconds", expect=at_least(0)),
        Last("clicked_at", name="click_at", windows=[LIFETIME], description="Time of the last click", unit="UTC time"),
    ],
)

user_topics = WindowedFeatures(
    name="user_topics",
    join_key=["user_id", "topic"],
    source="clicks",
    windows=[days(7)],
    available_after=hours(3),
    description="What a user reads about",
    lookups=[Lookup("topic", source="pages", on="page")],
    features=[Count(name="topic_clicks", description="Clicks on a topic", unit="clicks", expect=at_least(0))],
)
'''

VIEWS = '''
"""What is offered about users."""

from feast import Entity, FeatureService, ValueType

from transformations import clicking
from transformations.stores.views import feature_view

user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.INT64, description="A user", owner="web@x.org")
topic = Entity(name="topic", join_keys=["topic"], value_type=ValueType.STRING, description="A topic", owner="web@x.org")
user_clicks = feature_view(clicking.user_clicks, entity=user, owner="web@x.org")
user_topics = feature_view(clicking.user_topics, entities=[user, topic], owner="news@x.org")
reading_v1 = FeatureService(name="reading_v1", features=[user_clicks], owner="ml@x.org", description="Reads on?")
'''

# Noon in New York; user 1 clicks on 1 and 2 May, user 2 on 2 May on a page that nobody has described.
EVENTS = """click_id,user_id,page,seconds,clicked_at
1,1,/cats,10.0,2024-05-01T16:00:00
2,1,/dogs,5.0,2024-05-02T16:00:00
3,2,/lost,7.0,2024-05-02T16:00:00
"""

TOPICS = """page,topic
/cats,animals
/dogs,animals
"""


class World:
    """The project, and what one does with it: run commands, deliver data, change the domain, apply, materialize."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.repository = folder / "feature_repo"

    @property
    def settings(self) -> Settings:
        return get_settings()

    def run(self, command: str, *arguments: str) -> Result:
        """One command in this process; its errors become messages and exit codes, as in the console."""
        function = getattr(importlib.import_module(module_of(command)), command.replace("-", "_"))
        result = CliRunner().invoke(function, arguments)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    def deliver(
        self,
        source: str,
        rows: str,
        complete_through: str | None = None,
        *,
        correction: bool = False,
        retract: bool = False,
    ) -> None:
        from validation.delivery.ingest import Delivery, ingest_drop

        file = self.folder / f"{source}.csv"
        file.write_text(rows)
        through = date.fromisoformat(complete_through) if complete_through else None
        ingest_drop(
            Delivery(source, file, complete_through=through, correction=correction, retract=retract), self.settings
        )

    def deliver_all(self) -> None:
        self.deliver("pages", TOPICS)
        self.deliver("clicks", EVENTS, complete_through="2024-05-10")

    def deliver_later(self) -> None:
        """One more click of user 1, on 11 May."""
        rows = "click_id,user_id,page,seconds,clicked_at\n4,1,/cats,1.0,2024-05-11T16:00:00\n"
        self.deliver("clicks", rows, complete_through="2024-05-11")

    def tell_times_of(self, zone: str) -> None:
        """From now on the contract of the clicks says that its times are of this zone."""
        contract = self.folder / "contracts" / "clicks.yaml"
        contract.write_text(CLICKS.replace("timestampZone, value: UTC", f"timestampZone, value: {zone}"))

    def rewrite(self, *replacements: tuple[str, str], domain: str = DOMAIN, views: str = VIEWS) -> None:
        """The domain and the views with these passages replaced, as if this were a new process."""
        for old, new in replacements:
            assert old in domain + views, f"nothing to replace: {old}"
            domain, views = domain.replace(old, new), views.replace(old, new)
        (self.folder / "domains" / "clicking.py").write_text(domain)
        (self.repository / "user_views.py").write_text(views)
        forget_domain()

    def apply(self) -> None:
        """What `feast apply` does."""
        from transformations.insight.repository import open_store, read_contents

        declared = read_contents(self.settings)
        store = open_store(self.settings)
        wanted = [*declared.entities, *declared.feature_views, *declared.on_demand_feature_views]
        names = {each.name for each in [*declared.feature_views, *declared.feature_services]}
        known = [*store.list_feature_views(), *store.list_feature_services()]
        gone = [each for each in known if each.name not in names]
        apply_at_once(store, [*wanted, *declared.feature_services], objects_to_delete=gone, partial=False)

    def materialize(self, end: str) -> None:
        """What `feast materialize` does."""
        from transformations.insight.repository import open_store

        open_store(self.settings).materialize(datetime(1970, 1, 1, tzinfo=UTC), datetime.fromisoformat(end))


class Templates:
    """Data folders that were filled once, by their name: what is asked for a second time is copied."""

    def __init__(self, factory: pytest.TempPathFactory) -> None:
        self._factory = factory

    def fill(self, world: World, name: str, fill: Callable[[], None]) -> None:
        """Bring the world's data to where `fill` brings it."""
        if world.settings.bucket is not None:  # of which the folder has copies alone
            fill()
            return
        data, is_filled = world.settings.data, False

        def make(template: Path) -> None:
            nonlocal is_filled
            fill()
            if world.settings.redis_dir.is_dir():
                embedded.stop()
            shutil.copytree(data, template, ignore=shutil.ignore_patterns("spark"))
            is_filled = True

        template = made_once(self._factory, f"clicking {name}", make)
        if not is_filled:
            shutil.rmtree(data, ignore_errors=True)
            shutil.copytree(template, data)


def forget_domain() -> None:
    sys.modules.pop("transformations.clicking", None)
    vars(transformations).pop("clicking", None)
    importlib.invalidate_caches()
