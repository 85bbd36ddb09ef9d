"""`features monitor` says of the data behind all models what is late, missing, refused or other than usual."""

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from tests.worlds.clicking import CLICKS
from transformations.engine.base.errors import DataError
from transformations.engine.base.settings import get_settings
from validation.delivery.ingest import Delivery, ingest_drop
from validation.delivery.refusals import read_refusals

PROMISED = (
    CLICKS.replace(
        "{property: delivery, value: append}",
        "{property: delivery, value: append}\n      - {property: quarantineAllowed, value: 0.5}",
    ).replace(
        "name: seconds\n        logicalType: number\n        required: true",
        "name: seconds\n        logicalType: number",
    )
    + "slaProperties:\n  - {property: latency, value: 12, unit: h}\n"
)
HEADER = "click_id,user_id,page,seconds,clicked_at\n"


class Clicks:
    """Deliveries of one day each, whose rows are counted by hand."""

    def __init__(self, world: Any) -> None:
        self.world, self.number = world, 0
        (world.folder / "contracts" / "clicks.yaml").write_text(PROMISED)

    def deliver(
        self, day: date, *, rows: int = 10, nulls: int = 0, negative: int = 0, quarantine: bool = False
    ) -> None:
        """rows: of the day, of which some have no seconds; others break the contract with -1."""
        file: Path = self.world.folder / f"{day}.csv"
        seconds = [""] * nulls + ["-1"] * negative + ["5"] * (rows - nulls - negative)
        lines = []
        for each in seconds:
            self.number += 1
            lines.append(f"{self.number},{1 + self.number % 3},/cats,{each},{day}T16:00:00\n")
        file.write_text(HEADER + "".join(lines))
        ingest_drop(Delivery("clicks", file, complete_through=day, quarantine=quarantine), get_settings())


@pytest.fixture
def clicks(world: Any, monkeypatch: pytest.MonkeyPatch) -> Clicks:
    at(monkeypatch, "2024-05-06T12:00:00Z")
    return Clicks(world)


def at(monkeypatch: pytest.MonkeyPatch, moment: str) -> None:
    monkeypatch.setenv("FEATURES_CLOCK", moment)


def found(world: Any) -> dict[tuple[str, str], tuple[float | None, str]]:
    """What the command says of the data: by subject and measure the value and the state."""
    ended = world.run("monitor", "--json")
    (data,) = json.loads(ended.stdout)
    assert data["model"] == "_data"
    states = {each["state"] for each in data["findings"]}
    assert ended.exit_code == (3 if "alert" in states else 0)
    return {(each["subject"], each["measure"]): (each["value"], each["state"]) for each in data["findings"]}


def test_freshness_is_the_time_since_the_last_complete_day_against_what_the_contract_promises(
    clicks: Clicks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """5 May ends in New York at 04:00 UTC on the 6th; a day each day with 12 hours for it may be 36 hours old."""
    clicks.deliver(date(2024, 5, 5))
    assert found(clicks.world)["source clicks", "freshness"] == (8.0, "fine")
    at(monkeypatch, "2024-05-07T16:00:00Z")
    assert found(clicks.world)["source clicks", "freshness"] == (36.0, "fine")
    at(monkeypatch, "2024-05-07T16:06:00Z")
    assert found(clicks.world)["source clicks", "freshness"] == (36.1, "alert")


def test_a_drop_of_half_the_usual_rows_or_of_other_nulls_is_found(clicks: Clicks) -> None:
    for day, nulls in ((1, 3), (2, 5), (3, 4)):
        clicks.deliver(date(2024, 5, day), rows=100, nulls=nulls)
    assert ("source clicks", "volume") not in found(clicks.world), "two drops before tell nothing of what is usual"
    assert found(clicks.world)["source clicks", "nulls of seconds"] == (0.04, "shown")

    clicks.deliver(date(2024, 5, 4), rows=50, nulls=2)
    said = found(clicks.world)
    assert said["source clicks", "volume"] == (0.5, "fine")
    assert said["source clicks", "nulls of seconds"] == (0.04, "fine")

    clicks.deliver(date(2024, 5, 5), rows=49, nulls=20)
    said = found(clicks.world)
    assert said["source clicks", "volume"] == (0.49, "alert"), "the usual is the median of 100, 100, 100 and 50"
    assert said["source clicks", "nulls of seconds"] == (20 / 49, "alert")


def test_rows_set_aside_and_refused_deliveries_alert_until_a_whole_one_comes(
    clicks: Clicks, monkeypatch: pytest.MonkeyPatch
) -> None:
    clicks.deliver(date(2024, 5, 3), negative=2, quarantine=True)
    said = found(clicks.world)
    assert said["source clicks", "set aside"] == (2.0, "alert")
    assert said["source clicks", "refused"] == (0.0, "fine")

    for moment in ("2024-05-06T13:00:00Z", "2024-05-06T14:00:00Z"):
        at(monkeypatch, moment)
        with pytest.raises(DataError):
            clicks.deliver(date(2024, 5, 4), negative=1)
    assert found(clicks.world)["source clicks", "refused"] == (2.0, "alert")
    told = clicks.world.run("monitor").output
    assert "source clicks: refused 2" in told

    at(monkeypatch, "2024-05-06T15:00:00Z")
    clicks.deliver(date(2024, 5, 4))
    said = found(clicks.world)
    assert said["source clicks", "refused"] == (0.0, "fine")
    assert said["source clicks", "set aside"] == (0.0, "fine")
    known = read_refusals("clicks", get_settings())
    assert [(each.file, each.rows, each.rules) for each in known] == [("2024-05-04.csv", 10, ("range",))] * 2


def test_a_source_of_nothing_but_refused_deliveries_is_seen_and_so_is_a_view_without_a_table(clicks: Clicks) -> None:
    with pytest.raises(DataError):
        clicks.deliver(date(2024, 5, 4), negative=1)
    said = found(clicks.world)
    assert said["source clicks", "refused"] == (1.0, "alert")
    assert said["source clicks", "freshness"] == (None, "alert")
    assert said["view user_clicks", "lag in days"] == (None, "alert")


def test_a_view_that_is_behind_alerts_since_the_day_that_first_saw_it(
    serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = serve("2024-05-11T12:00:00Z")
    assert found(world)["view user_clicks", "lag in days"] == (0.0, "fine")
    at(monkeypatch, "2024-05-12T12:00:00Z")
    world.deliver_later()
    for moment, lag in (("2024-05-12T12:00:00Z", 0.0), ("2024-05-14T12:00:00Z", 2.0)):
        at(monkeypatch, moment)
        assert found(world)["view user_clicks", "lag in days"] == (lag, "alert")
    assert "view user_clicks: lag in days 2, since 2024-05-12" in world.run("monitor").output
