"""Days and weeks as they might have been: entities resampled within a day, or a week, of the reference.

Rows of one entity belong together and so do rows of one day, so neither are drawn one by one. A draw chooses a block (a
day, or a week) and then entities of that block with replacement, each with all its rows there, until there are as many
rows as asked for. It is compared with the reference without that block, as a day to come will be no part of it.

    rows  Mon a a b   Tue a c      a draw of 3 rows   block Mon, entities b a → b, a a

Draw k of a seed is always the same: its random numbers are those of a counter-based generator (Philox) under (seed, k).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from transformations.monitoring.statistics.effects import Counts, Floats
from transformations.monitoring.statistics.layout import Effects, Layout

DRAWS = 1_000
EARLIER = 4
"""With how many earlier weeks the same weekday is compared."""
Integers = npt.NDArray[np.int64]
_ENTITIES, _LATER = 1, 2
_LEAST_GROUPS = 3


@dataclass(frozen=True, kw_only=True)
class Blocks:
    """The reference's rows, coded, with the entity and the block of each. period: blocks from one weekday to the next
    same one, 7 for days and 1 for weeks. states: by feature that follows the calendar, the state of each block; such a
    feature is compared with blocks of the same state alone, and not at all where there is no other.
    """

    layout: Layout
    codes: npt.NDArray[np.int32]
    entities: Integers
    blocks: Integers
    period: int
    states: Mapping[str, Mapping[int, str]] = field(default_factory=dict)

    @cached_property
    def numbers(self) -> Integers:
        """The blocks that have rows, in their order."""
        return np.unique(self.blocks)

    @cached_property
    def counts(self) -> dict[int, Counts]:
        """The counts of each block."""
        return {int(each): self.layout.count(self.codes[self.blocks == each]) for each in self.numbers}

    @cached_property
    def whole(self) -> Integers:
        """The blocks that are drawn from: at the ends of the reference a block may be cut off, and tells little."""
        rows = {block: int(each[: self.layout.starts[1]].sum()) for block, each in self.counts.items()}
        least = float(np.median(list(rows.values()))) / 2
        return np.array([block for block in self.numbers if rows[int(block)] >= least], dtype=np.int64)

    @cached_property
    def total(self) -> Counts:
        """The counts of all rows."""
        return np.asarray(np.sum(list(self.counts.values()), axis=0), dtype=np.int64)

    def wide_enough(self, rows: int) -> Blocks:
        """The same rows in blocks of at least half so many rows, as far as a third of the reference goes.

        Drawn from a block of far fewer rows than asked for, a row would stand there several times, and limits would be
        too high. So the same weekdays of neighbouring weeks, or neighbouring weeks, become one block.
        """
        weeks = self.blocks // self.period
        span = int(weeks.max() - weeks.min()) + 1
        usual = float(np.median([int(each[: self.layout.starts[1]].sum()) for each in self.counts.values()]))
        joined = min(max(1, int(rows / usual)), max(1, span // _LEAST_GROUPS))
        if joined == 1:
            return self
        groups = (weeks - weeks.min()) // joined
        return replace(self, blocks=groups * self.period + self.blocks % self.period)

    def sample(self, block: int, rows: int, seed: int, draw: int, stream: int = 0) -> npt.NDArray[np.int32]:
        """The codes of about as many rows of a block: whole entities, drawn with replacement."""
        starts, ends = self._clusters[block]
        wanted = max(1, round(rows * len(starts) / int((ends - starts).sum())))
        chosen = _random(seed, draw, _ENTITIES + _LATER * stream, wanted) % np.uint64(len(starts))
        first, last = starts[chosen.astype(np.int64)], ends[chosen.astype(np.int64)]
        sizes = last - first
        places = np.repeat(first - np.concatenate(([0], np.cumsum(sizes)[:-1])), sizes) + np.arange(sizes.sum())
        return self._sorted[places]

    def against_reference(self, rows: int, *, draws: int = DRAWS, seed: int = 0) -> Effects:
        """The effects of draws of so many rows against all other blocks."""
        current = np.empty((draws, len(self.layout)), dtype=np.int64)
        reference = np.empty_like(current)
        for draw in range(draws):
            block = self._block(self.whole, seed, draw)
            current[draw] = self.layout.count(self.sample(block, rows, seed, draw))
            reference[draw] = self.total - self.counts[block] if len(self.numbers) > 1 else self.total
            for name, of_blocks in self.states.items():
                part = self.layout.part(name)
                alike = self.by_state(name)[of_blocks[block]] - self.counts[block]
                reference[draw, part] = alike[part] if alike[part].any() else current[draw, part]
        return self.layout.effects(reference, current)

    def against_earlier(self, rows: int, *, draws: int = DRAWS, seed: int = 0) -> Effects | None:
        """The effects of draws against as many rows of each of the same weekdays before; None where none has one."""
        known = set(self.whole.tolist())
        before = {
            block: [each for step in range(1, EARLIER + 1) if (each := block - step * self.period) in known]
            for block in known
        }
        able = np.array(sorted(block for block, earlier in before.items() if earlier), dtype=np.int64)
        if not len(able):
            return None
        current = np.empty((draws, len(self.layout)), dtype=np.int64)
        reference = np.zeros_like(current)
        for draw in range(draws):
            block = self._block(able, seed, draw)
            current[draw] = self.layout.count(self.sample(block, rows, seed, draw))
            for stream, each in enumerate(before[block], start=1):
                sample = self.layout.count(self.sample(each, rows, seed, draw, stream))
                for name, of_blocks in self.states.items():
                    if of_blocks[each] != of_blocks[block]:
                        sample[self.layout.part(name)] = 0
                reference[draw] += sample
        return self.layout.effects(reference, current)

    def by_state(self, name: str) -> dict[str, Counts]:
        """The counts of all blocks of each state of a feature."""
        found: dict[str, Counts] = {}
        for block, state in self.states[name].items():
            found[state] = found.get(state, np.zeros(len(self.layout), dtype=np.int64)) + self.counts[block]
        return found

    def _block(self, among: Integers, seed: int, draw: int) -> int:
        return int(among[int(_random(seed, draw, 0, 1)[0] % np.uint64(len(among)))])

    @cached_property
    def _order(self) -> Integers:
        return np.lexsort((self.entities, self.blocks)).astype(np.int64)

    @cached_property
    def _sorted(self) -> npt.NDArray[np.int32]:
        return self.codes[self._order]

    @cached_property
    def _clusters(self) -> dict[int, tuple[Integers, Integers]]:
        """By block where the rows of each of its entities begin and end."""
        blocks, entities = self.blocks[self._order], self.entities[self._order]
        is_first = np.ones(len(blocks), dtype=np.bool_)
        is_first[1:] = (blocks[1:] != blocks[:-1]) | (entities[1:] != entities[:-1])
        starts = np.flatnonzero(is_first).astype(np.int64)
        ends = np.append(starts[1:], len(blocks))
        return {int(each): (starts[blocks[starts] == each], ends[blocks[starts] == each]) for each in self.numbers}


def limits(effects: Floats, rate: float, least: Floats | float = 0.0) -> Floats:
    """By feature, the effect that any of them passes in at most this share of the draws.

    The draws' own greatest excess decides (the max-T procedure of Westfall and Young, Resampling-Based Multiple
    Testing, 1993): so many features are one question, and features that move together are not counted twice. An effect
    is measured from its median in units of its own spread, the way from there to the 95th percentile; a spread counts
    as a third of the least effect that matters, at least, so that a feature which hardly ever moves (one null in a
    thousand rows) does not decide for all others.

    effects: draws × features, 0 and above.
    """
    median = np.median(effects, axis=0)
    spread = np.quantile(effects, 0.95, axis=0) - median
    units = np.maximum(spread, np.asarray(least) / 3)
    greatest = ((effects - median) / np.where(units > 0, units, 1.0)).max(axis=1)
    return np.asarray(median + units * np.quantile(greatest, 1 - rate), dtype=np.float64)


def _random(seed: int, draw: int, stream: int, count: int) -> npt.NDArray[np.uint64]:
    generator = np.random.Philox(key=np.array([seed, draw], dtype=np.uint64), counter=stream << 128)
    return generator.random_raw(count) >> np.uint64(11)
