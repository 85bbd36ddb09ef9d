"""Days and weeks as they might have been: entities resampled within a day, or a week, of the reference.

Rows of one entity belong together and so do rows of one day, so neither are drawn one by one. A draw chooses a block (a
day, or a week) and then entities of that block with replacement, each with all its rows there, until there are as many
rows as asked for. It is compared with the reference without that block, as a day to come will be no part of it.

    rows  Mon a a b   Tue a c      a draw of 3 rows   block Mon, entities b a → b, a a

Draw k of a seed is always the same: its random numbers are those of a counter-based generator (Philox) under (seed, k).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import groupby

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri, stdtrit

from transformations.monitoring.statistics.effects import Counts, Floats
from transformations.monitoring.statistics.layout import Effects, Layout

DRAWS = 1_000
LEAST_ALIKE = 3
"""Days of one state that the reference has at least where a day is compared within it: fewer tell no spread."""
EARLIER = 4
"""With how many earlier weeks the same weekday is compared."""
Integers = npt.NDArray[np.int64]
_ENTITIES, _LATER = 1, 2
_LEAST_GROUPS = 3
_LEAST_WEEKS = 5


@dataclass(frozen=True, kw_only=True)
class Blocks:
    """The reference's rows, coded, with the entity and the block of each. period: blocks from one weekday to the next
    same one, 7 for days and 1 for weeks. states: by feature that follows a calendar, the state of each block; the
    values of such a feature are compared with blocks of the same state alone, and not at all where those are too few.
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

    def wide_enough(self, sizes: Sequence[int]) -> Iterator[tuple[Blocks, list[int]]]:
        """The same rows in blocks of at least half so many rows, as far as a third of the reference goes, and for which
        of these growing numbers of rows. What follows a calendar stays in the blocks that it has a state of.

        Drawn from a block of far fewer rows than asked for, a row would stand there several times, and limits would be
        too high. So the same weekdays of neighbouring weeks, or neighbouring weeks, become one block.
        """
        weeks = self.blocks // self.period
        span = int(weeks.max() - weeks.min()) + 1
        usual = float(np.median([int(each[: self.layout.starts[1]].sum()) for each in self.counts.values()]))

        def joined(rows: int) -> int:
            return 1 if self.states else min(max(1, int(rows / usual)), max(1, span // _LEAST_GROUPS))

        for number, alike in groupby(sizes, joined):
            groups = (weeks - weeks.min()) // number
            wide = replace(self, blocks=groups * self.period + self.blocks % self.period)
            yield self if number == 1 else wide, list(alike)

    def sample(self, block: int, rows: int, seed: int, draw: int, stream: int = 0) -> npt.NDArray[np.int32]:
        """The codes of about as many rows of a block: whole entities, drawn with replacement."""
        return self._samples(block, [rows], seed, draw, stream)[0]

    def against_reference(self, sizes: Sequence[int], *, draws: int = DRAWS, seed: int = 0) -> list[Effects]:
        """By number of rows, growing, the effects of draws of so many against all other blocks; of values, against
        those of equal state.
        """
        current = np.empty((len(sizes), draws, len(self.layout)), dtype=np.int64)
        reference, alike = np.empty_like(current[0]), np.empty_like(current)
        for draw in range(draws):
            block = self._block(self.whole, seed, draw)
            current[:, draw] = self._drawn(block, sizes, seed, draw)
            reference[draw] = self.total - self.counts[block] if len(self.numbers) > 1 else self.total
            alike[:, draw] = reference[draw]
            for name, of_blocks in self.states.items():
                part = self.layout.part(name)
                found = self.by_state(name).get(of_blocks[block])
                alike[:, draw, part] = current[:, draw, part] if found is None else (found - self.counts[block])[part]
        return [self._effects(reference, *each) for each in zip(alike, current, strict=True)]

    def against_earlier(self, sizes: Sequence[int], *, draws: int = DRAWS, seed: int = 0) -> list[Effects] | None:
        """By number of rows, growing, the effects of draws against as many rows of each of the same weekdays before;
        None where none has one.
        """
        known = set(self.whole.tolist())
        before = {
            block: [each for step in range(1, EARLIER + 1) if (each := block - step * self.period) in known]
            for block in known
        }
        able = np.array(sorted(block for block, earlier in before.items() if earlier), dtype=np.int64)
        if not len(able):
            return None
        current = np.empty((len(sizes), draws, len(self.layout)), dtype=np.int64)
        reference, alike = np.zeros_like(current), np.zeros_like(current)
        for draw in range(draws):
            block = self._block(able, seed, draw)
            current[:, draw] = self._drawn(block, sizes, seed, draw)
            for stream, each in enumerate(before[block], start=1):
                drawn = self._drawn(each, sizes, seed, draw, stream)
                reference[:, draw] += drawn
                for name, of_blocks in self.states.items():
                    if of_blocks[each] != of_blocks[block]:
                        drawn[:, self.layout.part(name)] = 0
                alike[:, draw] += drawn
        return [self._effects(*each) for each in zip(reference, alike, current, strict=True)]

    def by_state(self, name: str) -> dict[str, Counts]:
        """The counts of all blocks of each state of a feature; a state of too few blocks is left out."""
        return self._by_state[name]

    @cached_property
    def _by_state(self) -> dict[str, dict[str, Counts]]:
        found: dict[str, dict[str, Counts]] = {}
        for name, of_blocks in self.states.items():
            for state in sorted(set(of_blocks.values())):
                blocks = [self.counts[block] for block, each in of_blocks.items() if each == state]
                if len(blocks) >= LEAST_ALIKE:
                    found.setdefault(name, {})[state] = np.asarray(np.sum(blocks, axis=0), dtype=np.int64)
            found.setdefault(name, {})
        return found

    def _effects(self, reference: Counts, alike: Counts, current: Counts) -> Effects:
        """Of values against what is alike; a share of nulls has no calendar, so it stands against all."""
        found = self.layout.effects(reference, current)
        return replace(found, values=self.layout.effects(alike, current).values) if self.states else found

    def _drawn(self, block: int, sizes: Sequence[int], seed: int, draw: int, stream: int = 0) -> Counts:
        """The counts of samples of growing numbers of rows, a row each. A smaller one is how a larger one begins, so
        the largest is drawn and every row of it is counted once.
        """
        codes, ends = self._samples(block, sizes, seed, draw, stream)
        parts = np.split(codes, ends[:-1])
        return np.cumsum([self.layout.count(each) for each in parts], axis=0, dtype=np.int64)

    def _samples(
        self, block: int, sizes: Sequence[int], seed: int, draw: int, stream: int
    ) -> tuple[npt.NDArray[np.int32], Integers]:
        """The codes of the last and greatest number of rows, and where those of each number end."""
        starts, ends = self._clusters[block]
        wanted = [max(1, round(rows * len(starts) / int((ends - starts).sum()))) for rows in sizes]
        chosen = _random(seed, draw, _ENTITIES + _LATER * stream, wanted[-1]) % np.uint64(len(starts))
        first, last = starts[chosen.astype(np.int64)], ends[chosen.astype(np.int64)]
        rows = last - first
        after = np.cumsum(rows)
        places = np.repeat(first - (after - rows), rows) + np.arange(after[-1])
        return self._sorted[places], after[np.array(wanted) - 1]

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


def limits(effects: Floats, rate: float, least: Floats | float = 0.0, weeks: int | None = None) -> Floats:
    """By feature, the effect that any of them passes in at most this share of the draws.

    The draws' own greatest excess decides (the max-T procedure of Westfall and Young, Resampling-Based Multiple
    Testing, 1993): so many features are one question, and features that move together are not counted twice. An effect
    is measured from its median in units of its own spread, the way from there to the 95th percentile; a spread counts
    as a third of the least effect that matters, at least, so that a feature which hardly ever moves (one null in a
    thousand rows) does not decide for all others.

    effects: draws × features, 0 and above. weeks: how many the draws came from. However often they are drawn, so few
    show little of what one week in hundreds is like, so the way from the median is widened as that of a prediction from
    a sample is: by Student's t of one degree fewer in place of the normal distribution, and by √(1 + 1 / weeks).
    """
    median = np.median(effects, axis=0)
    spread = np.quantile(effects, 0.95, axis=0) - median
    units = np.maximum(spread, np.asarray(least) / 3)
    greatest = ((effects - median) / np.where(units > 0, units, 1.0)).max(axis=1)
    reach = np.quantile(greatest, 1 - rate) * (1.0 if weeks is None else _widening(weeks, rate))
    return np.asarray(median + units * reach, dtype=np.float64)


def _widening(weeks: int, rate: float) -> float:
    """By how much farther a limit lies that is known from so many weeks; fewer than five are taken for five."""
    number = max(weeks, _LEAST_WEEKS)
    return float(stdtrit(number - 1, 1 - rate) / ndtri(1 - rate) * np.sqrt(1 + 1 / number))


def _random(seed: int, draw: int, stream: int, count: int) -> npt.NDArray[np.uint64]:
    generator = np.random.Philox(key=np.array([seed, draw], dtype=np.uint64), counter=stream << 128)
    return generator.random_raw(count) >> np.uint64(11)
