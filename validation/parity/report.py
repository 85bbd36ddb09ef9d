"""The findings of a comparison of online with training: counts, kinds, causes and examples for each feature."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field
from datetime import datetime
from enum import StrEnum

from validation.parity.causes import Cause, Kind
from validation.parity.rows import NOT_FOUND

_EXAMPLES = 3


class Outcome(StrEnum):
    """The outcomes of a comparison other than equality; none of them is a green light."""

    SKEW = "skew"
    UNMATERIALIZED = "unmaterialized"
    STALE = "stale"
    UNCOMPARED = "uncompared"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One value that differs; zone: in which its moments are told."""

    feature: str
    keys: dict[str, object]
    online: object
    status: str
    training: object
    kind: Kind
    cause: Cause
    words: str
    zone: str

    @property
    def form(self) -> str:
        """How it differs: `missing` on one path, `null` on one path, or in `value`."""
        if self.status == NOT_FOUND:
            return "missing"
        return "null" if (self.online is None) != (self.training is None) else "value"


@dataclass
class FeatureReport:
    """One feature over all entities that were compared."""

    feature: str
    compared: int
    _: KW_ONLY
    forms: Counter[str] = field(default_factory=Counter)
    kinds: Counter[Kind] = field(default_factory=Counter)
    causes: Counter[str] = field(default_factory=Counter)
    examples: list[Finding] = field(default_factory=list)

    @property
    def differing(self) -> int:
        """Values, or statuses, that do not agree."""
        return self.forms.total()

    @property
    def equal(self) -> int:
        """Values that agree, nulls included."""
        return self.compared - self.differing

    def add(self, finding: Finding) -> None:
        """Count a difference; the first few of every cause are kept as examples."""
        known = sum(1 for each in self.examples if each.cause == finding.cause)
        self.forms[finding.form] += 1
        self.kinds[finding.kind] += 1
        self.causes[f"{finding.kind}: {finding.cause}"] += 1
        if known < _EXAMPLES:
            self.examples.append(finding)


@dataclass(frozen=True, kw_only=True)
class LiveReport:
    """All features of the chosen views at one moment.

    skipped: views that could not be compared, and why. unmaterialized: views that differ and were never loaded. zone:
    in which the moment is told.
    """

    moment: datetime
    features: tuple[FeatureReport, ...]
    skipped: Mapping[str, str]
    unmaterialized: tuple[str, ...] = ()
    zone: str = "UTC"

    @property
    def compared(self) -> int:
        """All values."""
        return sum(each.compared for each in self.features)

    @property
    def differing(self) -> int:
        """All values that differ, for whatever reason."""
        return sum(each.differing for each in self.features)

    @property
    def skewed(self) -> int:
        """The values that differ by a fault."""
        return sum(each.kinds[Kind.SKEW] for each in self.features)

    @property
    def stale(self) -> int:
        """The values that differ because newer rows were not materialized: late, or corrected since."""
        return self.differing - self.skewed

    @property
    def outcomes(self) -> tuple[Outcome, ...]:
        """Every outcome but equality, worst first; empty if everything was compared and is equal."""
        found = {
            Outcome.SKEW: self.skewed,
            Outcome.UNMATERIALIZED: self.unmaterialized,
            Outcome.STALE: self.stale,
            Outcome.UNCOMPARED: self.skipped or not self.compared,
        }
        return tuple(outcome for outcome, is_there in found.items() if is_there)

    @property
    def skew(self) -> float:
        """The share of values that differ by a fault."""
        return self.skewed / self.compared if self.compared else 0.0
