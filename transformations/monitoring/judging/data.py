"""The data behind all models: how fresh sources and views are against their promise, and what the last drops were."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import date, datetime, timedelta

import numpy as np

from transformations.contracts import Contract
from transformations.engine.base.business_days import start_of_day
from transformations.engine.base.settings import Settings
from transformations.engine.raw.zone import RawSnapshot, RawTable
from transformations.insight.freshness import State, ViewFreshness
from transformations.insight.repository import OfferedView, read_repository
from transformations.insight.standing import freshness_of
from transformations.monitoring.judging.day import Judged, ranked
from transformations.monitoring.reading.config import Monitoring, read_monitoring
from transformations.monitoring.reading.history import Finding, last_before, read_findings, write_findings

DATA = "_data"
"""Whose history this is: no model can have that name."""
_ALERTING = frozenset({State.SOURCE_LATE, State.BEHIND, State.NOT_ONLINE, State.REDEFINED, State.SOURCE_INCOMPLETE})
_DROPS = 5
_LEAST_DROPS = 3


def judge_data(settings: Settings, report: Callable[[str], None] = lambda _text: None) -> Judged:
    """Judge the data as it stands now, as the findings of today (UTC), and write them into the history.

    A source alerts where it breaks the freshness that its contract promises, where its last drop set rows aside, and
    where that has far more or fewer rows than those before it; a view where its table or Redis lacks what is there.
    """
    repository = read_repository(settings)
    chosen = repository.select([])
    today, config = settings.now().date(), read_monitoring(repository.folder)
    findings = [*_sources(chosen, today, config, settings)]
    for offered, fresh in zip(chosen, freshness_of(chosen, settings, report), strict=True):
        findings.append(_view(offered, fresh, today))
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
            yield from _source(contract, table.snapshot(), today, config, settings.now())
        else:
            text = "nothing has been ingested yet"
            yield _finding(today, f"source {name}", "freshness", None, contract.owner, text, state="alert")


def _source(
    contract: Contract, snapshot: RawSnapshot, today: date, config: Monitoring, now: datetime
) -> Iterator[Finding]:
    subject = f"source {contract.name}"
    if snapshot.complete_through is not None:
        age = now - start_of_day(snapshot.complete_through + timedelta(days=1), contract.business_day_zone)
        text = f"hours since its last complete day, {snapshot.complete_through}, ended"
        found = _finding(today, subject, "freshness", age / timedelta(hours=1), contract.owner, text)
        if contract.freshness is not None:
            is_late = age > contract.freshness
            found = replace(found, limit=contract.freshness / timedelta(hours=1), state="alert" if is_late else "fine")
        yield found
    drops = list(snapshot.drops)[-_DROPS:]
    if not drops:
        return
    last = drops[-1]
    delivered = last.rows + last.unchanged + last.quarantined
    text = f"rows of {last.file_name} that broke the contract and were set aside, of {delivered:,}"
    found = _finding(today, subject, "contract", float(last.quarantined), contract.owner, text, rows=delivered)
    yield replace(found, limit=0.0, state="alert" if last.quarantined else "fine")
    if len(drops) > _LEAST_DROPS and contract.event_time is not None:
        usual = float(np.median([each.rows for each in drops[:-1]]))
        times = last.rows / usual if usual else 0.0
        text = f"times the usual {usual:,.0f} rows of a drop"
        is_beyond = not config.volume.at_least <= times <= config.volume.at_most
        limit = config.volume.at_least if times < 1 else config.volume.at_most
        found = _finding(today, subject, "volume", times, contract.owner, text, rows=last.rows)
        yield replace(found, limit=limit, state="alert" if is_beyond else "fine")


def _view(offered: OfferedView, fresh: ViewFreshness, today: date) -> Finding:
    text = str(fresh.state) + (f": {fresh.command}" if fresh.command else "")
    lag = None if fresh.lag_days is None else float(fresh.lag_days)
    found = _finding(today, f"view {fresh.view}", "lag in days", lag, offered.view.owner, text)
    return replace(found, state="alert" if fresh.state in _ALERTING else "fine")


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
