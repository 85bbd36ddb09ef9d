"""The data behind all models: how fresh sources and views are against their promise, and what the last drops were."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta

import numpy as np
from feast import FeatureStore

from transformations.contracts import Contract
from transformations.engine.base import duck
from transformations.engine.base.business_days import start_of_day
from transformations.engine.base.settings import Settings
from transformations.engine.raw.zone import Drop, RawSnapshot, RawTable
from transformations.insight.freshness import State, ViewFreshness
from transformations.insight.repository import OfferedView, read_repository
from transformations.insight.standing import freshness_of
from transformations.monitoring.judging.data_sql import nulls_of
from transformations.monitoring.judging.day import Judged, ranked
from transformations.monitoring.judging.skew import skew_of_views
from transformations.monitoring.reading.config import Monitoring, read_monitoring
from transformations.monitoring.reading.history import Finding, last_before, read_findings, write_findings
from validation.delivery.refusals import read_refusals

DATA = "_data"
"""Whose history this is: no model can have that name."""
_DROPS = 5
_LEAST_DROPS = 3
"""Drops before the last one, at least, that tell what is usual."""
_STANDARD_ERRORS = 4
_SHOWN = 60


def judge_data(
    settings: Settings,
    report: Callable[[str], None] = lambda _text: None,
    open_store: Callable[[], FeatureStore] | None = None,
) -> Judged:
    """Judge the data as it stands now, as the findings of today (UTC), and write them into the history.

    A source alerts where it breaks the freshness that its contract promises, where deliveries have been refused since
    its last drop, where that set rows aside, has far more or fewer rows than those before it, or other shares of nulls;
    a view where its table or Redis lacks what is there, or, with open_store, where Redis has what training does not.
    """
    repository = read_repository(settings)
    chosen = repository.select([])
    today, config = settings.now().date(), read_monitoring(repository.folder)
    findings = [*_sources(chosen, today, config, settings)]
    for offered, fresh in zip(chosen, freshness_of(chosen, settings, report), strict=True):
        findings.append(_view(offered, fresh, today))
    if open_store is not None and config.sample:
        findings += skew_of_views(today, config.sample, open_store, settings)
    before = last_before(DATA, today, settings)
    known = {
        (each.subject, each.measure): each.first_bad
        for each in (read_findings(DATA, before, settings) if before else ())
        if each.alerts
    }
    dated = [
        replace(each, first_bad=known.get((each.subject, each.measure)) or today) if each.alerts else each
        for each in findings
    ]
    write_findings(DATA, today, dated, settings)
    return Judged(model=DATA, day=today, findings=ranked(dated))


def _sources(chosen: list[OfferedView], today: date, config: Monitoring, settings: Settings) -> Iterator[Finding]:
    contracts: Mapping[str, Contract] = {
        contract.name: contract
        for each in chosen
        for contract in (each.resolved.contract, *each.resolved.lookups.values())
    }
    for name, contract in sorted(contracts.items()):
        table = RawTable(contract, settings.raw_dir)
        if table.exists():
            yield from _source(contract, table.snapshot(), today, config, settings)
        else:
            yield from _refused(contract, None, today, settings)
            text = "nothing has been ingested yet"
            yield _finding(today, f"source {name}", "freshness", None, contract.owner, text, state="alert")


def _source(
    contract: Contract, snapshot: RawSnapshot, today: date, config: Monitoring, settings: Settings
) -> Iterator[Finding]:
    subject = f"source {contract.name}"
    if snapshot.complete_through is not None:
        age = settings.now() - start_of_day(snapshot.complete_through + timedelta(days=1), contract.business_day_zone)
        text = f"hours since its last complete day, {snapshot.complete_through}, ended"
        found = _finding(today, subject, "freshness", age / timedelta(hours=1), contract.owner, text)
        if contract.freshness is not None:
            is_late = age > contract.freshness
            found = replace(found, limit=contract.freshness / timedelta(hours=1), state="alert" if is_late else "fine")
        yield found
    drops = [each for each in snapshot.drops if each.file_name and not each.retracts][-_DROPS:]
    yield from _refused(contract, drops[-1] if drops else None, today, settings)
    if not drops:
        return
    last = drops[-1]
    text = f"rows of {last.file_name} that broke the contract and were set aside, of {_delivered(last):,}"
    found = _finding(today, subject, "set aside", float(last.quarantined), contract.owner, text, rows=_delivered(last))
    yield replace(found, limit=0.0, state="alert" if last.quarantined else "fine")
    if len(drops) > _LEAST_DROPS and contract.event_time is not None:
        usual = float(np.median([_delivered(each) for each in drops[:-1]]))
        times = _delivered(last) / usual if usual else 0.0
        text = f"times the usual {usual:,.0f} rows of a drop"
        is_beyond = not config.volume.at_least <= times <= config.volume.at_most
        limit = config.volume.at_least if times < 1 else config.volume.at_most
        found = _finding(today, subject, "volume", times, contract.owner, text, rows=_delivered(last))
        yield replace(found, limit=limit, state="alert" if is_beyond else "fine")
    yield from _nulls(contract, snapshot, drops, today, config)


def _refused(contract: Contract, last: Drop | None, today: date, settings: Settings) -> Iterator[Finding]:
    """Deliveries that were refused: those after the last drop are missing still."""
    known = read_refusals(contract.name, settings)
    if not known and last is None:
        return
    since = [each for each in known if last is None or each.at >= last.ingested_at]
    lately = sum(each.at >= settings.now() - timedelta(days=_SHOWN) for each in known)
    text = f"deliveries refused since the last drop, {lately:,} in {_SHOWN} days"
    if since:
        why = ", ".join(since[-1].rules) or since[-1].message.partition("\n")[0]
        text = f"{text}; the last: {since[-1].file}: {why}"
    found = _finding(today, f"source {contract.name}", "refused", float(len(since)), contract.owner, text)
    yield replace(found, limit=0.0, state="alert" if since else "fine")


def _nulls(
    contract: Contract, snapshot: RawSnapshot, drops: Sequence[Drop], today: date, config: Monitoring
) -> Iterator[Finding]:
    """The share of nulls in each column of the last drop that may have some, beside those of the drops before.

    It alerts where it is outside of what these had by more than `least_effects.nulls` and by more than four standard
    errors: so few drops tell what is usual, and no rate of false alerts.
    """
    names = [column.name for column in contract.columns if column.nullable]
    if not names:
        return
    numbers = [each.number for each in drops]
    files = [each.path for each in snapshot.stored if each.drop >= numbers[0]]
    if not files:
        return
    with duck.session() as connection:
        by_drop = connection.execute(nulls_of(files, numbers, names)).fetchall()
    if not by_drop or by_drop[-1][0] != numbers[-1]:
        return
    counted = [rest for _, *rest in by_drop]
    rows = counted[-1][0]
    for place, name in enumerate(names, start=1):
        *before, share = (each[place] / each[0] for each in counted)
        text = f"share of the rows of {drops[-1].file_name}"
        found = _finding(today, f"source {contract.name}", f"nulls of {name}", share, contract.owner, text, rows=rows)
        if len(before) < _LEAST_DROPS:
            yield found
            continue
        low, high = min(before), max(before)
        usual = (low + high) / 2
        error = _STANDARD_ERRORS * (usual * (1 - usual) / rows) ** 0.5
        margin = max(config.least_effects.nulls, error)
        limit = high + margin if share >= usual else low - margin
        is_beyond = not low - margin <= share <= high + margin
        text = f"{text}; {low:.1%} to {high:.1%} of the {len(before)} drops before"
        yield replace(found, text=text, limit=limit, state="alert" if is_beyond else "fine")


def _delivered(drop: Drop) -> int:
    return drop.rows - drop.retracted + drop.unchanged + drop.quarantined


def _view(offered: OfferedView, fresh: ViewFreshness, today: date) -> Finding:
    text = str(fresh.state) + (f": {fresh.command}" if fresh.command else "")
    lag = None if fresh.lag_days is None else float(fresh.lag_days)
    found = _finding(today, f"view {fresh.view}", "lag in days", lag, offered.view.owner, text)
    return replace(found, state="fine" if fresh.state is State.UP_TO_DATE else "alert")


def _finding(
    today: date,
    subject: str,
    measure: str,
    value: float | None,
    owner: str,
    text: str,
    *,
    rows: int = 0,
    state: str = "shown",
) -> Finding:
    found = Finding(
        day=today,
        version=0,
        part="data",
        subject=subject,
        measure=measure,
        value=value,
        owner=owner,
        text=text,
        rows=rows,
    )
    return replace(found, state="alert") if state == "alert" else found
