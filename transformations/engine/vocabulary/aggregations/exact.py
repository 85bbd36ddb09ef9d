"""Exact sums of floating-point numbers: the correctly rounded sum of each range, whatever the order of its values.

A double is an integer times a power of two. Every value becomes 32-bit limbs of one common fixed-point scale, limbs
are summed as int64 (exact), a range's sum is a difference of prefix sums (exact), and one rounding at the end gives
what `math.fsum` gives. So an incremental run, a backfill and a cluster agree to the last bit with no order of
summation to keep.

The scale is that of the values at hand; it does not influence the result. Limbs overflow at 2**31 values a task.
The idea of a fixed-point superaccumulator is Kulisch's; rounding by the top 64 bits and a sticky bit is IEEE practice.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Int64s = npt.NDArray[np.int64]
UInt64s = npt.NDArray[np.uint64]

_LIMB = 32
_MASK = np.int64(0xFFFF_FFFF)


@dataclass(frozen=True)
class ExactPrefix:
    """Prefix sums of values at chosen cuts: `limbs[i][c]` is limb i of the sum of all values before cut c, scale
    2**`exponent`.
    """

    limbs: tuple[Int64s, ...]
    exponent: int

    def between(self, first: Int64s, last: Int64s) -> Floats:
        """The correctly rounded sum of the values from cut `first` to cut `last`, for each pair; 0.0 where empty."""
        return _round_to_nearest([limb[last] - limb[first] for limb in self.limbs], self.exponent)

    def expansion_between(self, first: Int64s, last: Int64s) -> list[Floats]:
        """Doubles whose exact sum is the exact sum of the values between two cuts, one array a limb."""
        limbs = _carry_limbs([limb[last] - limb[first] for limb in self.limbs])
        return [np.ldexp(limb.astype(np.float64), _LIMB * i + self.exponent) for i, limb in enumerate(limbs)]

    def integers_between(self, first: Int64s, last: Int64s) -> npt.NDArray[np.object_]:
        """The exact sums as Python integers in units of 2**`exponent`."""
        total = np.zeros(len(first), dtype=object)
        for index, limb in enumerate(self.limbs):
            total += (limb[last] - limb[first]).astype(object) << (_LIMB * index)
        return total


def exact_prefix(values: Floats, cuts: Int64s) -> ExactPrefix:
    """Exact prefix sums of finite values at the cuts (ascending positions, 0 to len(values))."""
    values, cuts = _without_zeros(values, cuts)
    return _prefix_sums([_decompose(values)], cuts)


def exact_prefix_of_squares(values: Floats, cuts: Int64s) -> ExactPrefix:
    """Exact prefix sums of the squares: a 53-bit mantissa is split so that no product rounds."""
    values, cuts = _without_zeros(values, cuts)
    mantissas, exponents = _decompose(values)
    magnitudes = np.abs(mantissas)
    high, low = magnitudes >> 27, magnitudes & np.int64((1 << 27) - 1)
    doubled = 2 * exponents
    return _prefix_sums([(high * high, doubled + 54), (2 * high * low, doubled + 27), (low * low, doubled)], cuts)


def _without_zeros(values: Floats, cuts: Int64s) -> tuple[Floats, Int64s]:
    """The values that count, and the cuts among them: most measures are 0 for most events."""
    counts = values != 0.0
    if counts.all():
        return values, cuts
    return values[counts], _prefix_at(counts.astype(np.int64), cuts)


def _decompose(values: Floats) -> tuple[Int64s, Int64s]:
    fractions, exponents = np.frexp(values)
    return (fractions * 2.0**53).astype(np.int64), exponents.astype(np.int64) - 53


def _prefix_sums(terms: list[tuple[Int64s, Int64s]], cuts: Int64s) -> ExactPrefix:
    """Prefix sums of Σ mantissa × 2**exponent over all terms; mantissas are below 2**56 in magnitude."""
    used = [exponents[mantissas != 0] for mantissas, exponents in terms]
    used = [exponents for exponents in used if exponents.size]
    if not used:
        return ExactPrefix((np.zeros(len(cuts), dtype=np.int64),), 0)
    base = min(int(exponents.min()) for exponents in used)
    count = (max(int(exponents.max()) for exponents in used) - base) // _LIMB + 3
    limbs = [np.zeros(len(terms[0][0]), dtype=np.int64) for _ in range(count)]
    for mantissas, exponents in terms:
        _add_limbs(limbs, mantissas, np.where(mantissas == 0, 0, exponents - base))
    return ExactPrefix(tuple(_prefix_at(limb, cuts) for limb in limbs), base)


def _add_limbs(limbs: list[Int64s], mantissas: Int64s, shifts: Int64s) -> None:
    """Split each mantissa << shift into three signed 32-bit limbs and add them at the shift's position."""
    sign, magnitude = np.sign(mantissas), np.abs(mantissas)
    within = shifts % _LIMB
    low = (magnitude & _MASK) << within
    high = ((magnitude >> _LIMB) << within) + (low >> _LIMB)
    parts = (sign * (low & _MASK), sign * (high & _MASK), sign * (high >> _LIMB))
    positions = shifts // _LIMB
    if int(positions.max(initial=0)) == 0:
        for position, part in enumerate(parts):
            limbs[position] += part
        return
    for position in range(int(positions.max()) + 1):
        here = positions == position
        for offset, part in enumerate(parts):
            limbs[position + offset] += np.where(here, part, 0)


def _prefix_at(values: Int64s, cuts: Int64s) -> Int64s:
    running = np.empty(len(values) + 1, dtype=np.int64)
    running[0] = 0
    np.cumsum(values, out=running[1:])
    return running[cuts]


def _round_to_nearest(limbs: list[Int64s], exponent: int) -> Floats:
    """Σ limb[i] × 2**(32 i + exponent), rounded once to nearest, ties to even.

    Where all but the lowest limb makes an integer below 2**53, both parts are doubles, and their one addition is the
    one rounding; scaling is exact, since every double is a multiple of the smallest one.
    """
    zero = np.zeros_like(limbs[0])
    low, middle, above, *rest = (*limbs, zero, zero)
    middle = middle + (low >> _LIMB)
    small = (np.abs(middle) < (1 << 52)) & (np.abs(above) < (1 << 19))
    for limb in rest:
        small &= limb == 0
    high = (middle + (above << _LIMB)).astype(np.float64)
    total: Floats = np.ldexp(np.ldexp(high, _LIMB) + (low & _MASK), exponent)
    if not small.all():
        large = np.flatnonzero(~small)
        total[large] = _rounded_by_digits([limb[large] for limb in limbs], exponent)
    return total


def _rounded_by_digits(limbs: list[Int64s], exponent: int) -> Floats:
    """The same for any numbers, from their leading digits."""
    digits = _carry_limbs([*limbs, np.zeros_like(limbs[0])])
    negative = digits[-1] < 0
    if negative.any():
        flip = np.where(negative, np.int64(-1), np.int64(1))
        digits = _carry_limbs([digit * flip for digit in digits])
    top, middle, low, rest, position = _leading_digits(digits)
    bits = np.frexp(top.astype(np.float64))[1].astype(np.uint64)
    shift = np.where(top == 0, np.uint64(0), np.uint64(_LIMB) - bits)
    unshift = np.uint64(_LIMB) - shift
    significand = (((top << np.uint64(_LIMB)) | middle) << shift) | (low >> unshift)
    sticky = ((low & ((np.uint64(1) << unshift) - np.uint64(1))) != 0) | rest
    rounded = (significand | sticky.astype(np.uint64)).astype(np.float64)
    scale = _LIMB * (position - 1) - shift.astype(np.int64) + exponent
    magnitude = np.ldexp(rounded, scale.astype(np.int32))
    signed: Floats = np.where(negative, -magnitude, magnitude)
    return signed


def _carry_limbs(limbs: list[Int64s]) -> list[Int64s]:
    """The same number with every limb but the last in [0, 2**32); the last carries the sign."""
    carried = []
    carry = np.zeros_like(limbs[0])
    for limb in limbs[:-1]:
        total = limb + carry
        carry = total >> _LIMB
        carried.append(total & _MASK)
    return [*carried, limbs[-1] + carry]


def _leading_digits(digits: list[Int64s]) -> tuple[UInt64s, UInt64s, UInt64s, npt.NDArray[np.bool_], Int64s]:
    """For each number its highest non-zero digit, the two below, whether anything lies lower still, and the digit's
    position.
    """
    rows = len(digits[0])
    zero = np.zeros(rows, dtype=np.int64)
    top, middle, low, position = zero.copy(), zero.copy(), zero.copy(), zero.copy()
    rest = np.zeros(rows, dtype=np.bool_)
    below, below_that, tail = zero, zero, np.zeros(rows, dtype=np.bool_)
    for index, digit in enumerate(digits):
        here = digit != 0
        top, middle, low = np.where(here, digit, top), np.where(here, below, middle), np.where(here, below_that, low)
        rest = np.where(here, tail, rest)
        position = np.where(here, np.int64(index), position)
        tail = tail | (below_that != 0)
        below_that, below = below, digit
    return top.astype(np.uint64), middle.astype(np.uint64), low.astype(np.uint64), rest, position
