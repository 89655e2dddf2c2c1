"""Choosing units that add up to exact class counts."""

from collections.abc import Sequence

from brain_tumor.dataset.splitting.units import Unit


def choose(units: Sequence[Unit], no: int, yes: int) -> list[Unit] | None:
    """Take units in the order given until they hold exactly `no` and `yes` images.

    A unit is taken if it fits and the units after it can still make up the rest, so the first
    possible set in the order given is found wherever there is one.

    Returns:
        The units taken, or None if no set of whole units has these counts.
    """
    stride = 2 * yes + 1  # wide enough that adding a unit never carries into the next row
    reachable = _reachable(units, no, yes, stride)
    if not reachable[0] >> (no * stride + yes) & 1:
        return None
    taken: list[Unit] = []
    for unit, after in zip(units, reachable[1:], strict=True):
        fits = unit.no <= no and unit.yes <= yes
        if fits and after >> ((no - unit.no) * stride + yes - unit.yes) & 1:
            taken.append(unit)
            no, yes = no - unit.no, yes - unit.yes
    return taken


def _reachable(units: Sequence[Unit], no: int, yes: int, stride: int) -> list[int]:
    """For each i the sums that units i, i+1, ... can make: bit `n * stride + y` for (n, y)."""
    row = (1 << (yes + 1)) - 1
    wanted = sum(row << (count * stride) for count in range(no + 1))
    sums = [1]
    for unit in reversed(units):
        step = unit.no * stride + unit.yes
        fits = unit.no <= no and unit.yes <= yes
        more = sums[-1] | (sums[-1] << step & wanted) if fits else sums[-1]
        # Once all sums are reachable nothing changes: keeping one object keeps memory small.
        sums.append(sums[-1] if more == sums[-1] else more)
    return sums[::-1]
