"""Redis' HyperLogLog in Python: what `PFADD` and `PFCOUNT` do, register by register. Pure.

A HyperLogLog depends on nothing but the set of what was added. The same visitors therefore
give the same estimate here as in Redis, to the last digit, and a recount can be compared
exactly although the number is an estimate.

The hash is MurmurHash64A by Austin Appleby; the estimator is Otmar Ertl's, "New cardinality
estimation algorithms for HyperLogLog sketches", 2017, as in Redis' hyperloglog.c.
"""

from functools import lru_cache
from math import floor, inf, sqrt

_REGISTERS = 1 << 14
_RANK_BITS = 50
_ALPHA = 0.721347520444481703680
_SEED = 0xADC83B19
_MULTIPLIER = 0xC6A4A7935BD1E995
_64_BITS = (1 << 64) - 1
# So many entries of a dictionary take as much memory as all registers in bytes.
_MOST_SPARSE = 256


class HyperLogLog:
    """Estimates how many different texts were added; 16 KB at most."""

    __slots__ = ("_registers",)

    def __init__(self) -> None:
        # Register → rank while few are set, then all ranks.
        self._registers: dict[int, int] | bytearray = {}

    def add(self, text: str) -> None:
        register, rank = _place(text)
        registers = self._registers
        if isinstance(registers, bytearray):
            if registers[register] < rank:
                registers[register] = rank
            return
        if registers.get(register, 0) < rank:
            registers[register] = rank
        if len(registers) > _MOST_SPARSE:
            self._registers = _dense(registers)

    def count(self) -> int:
        """What `PFCOUNT` answers."""
        histogram = [0] * (_RANK_BITS + 2)
        registers = self._registers
        ranks = registers if isinstance(registers, bytearray) else registers.values()
        for rank in ranks:
            histogram[rank] += 1
        histogram[0] += _REGISTERS - len(registers)
        return _estimate(histogram)


def _dense(registers: dict[int, int]) -> bytearray:
    dense = bytearray(_REGISTERS)
    for register, rank in registers.items():
        dense[register] = rank
    return dense


@lru_cache(maxsize=65_536)
def _place(text: str) -> tuple[int, int]:
    """The register that a text falls into, and its rank there."""
    hashed = murmur64a(text.encode())
    rest = (hashed >> 14) | (1 << _RANK_BITS)
    return hashed & (_REGISTERS - 1), (rest & -rest).bit_length()


def murmur64a(data: bytes) -> int:
    """MurmurHash64A, 64 bits, with Redis' seed."""
    h = _SEED ^ (len(data) * _MULTIPLIER & _64_BITS)
    whole = len(data) - len(data) % 8
    for at in range(0, whole, 8):
        k = int.from_bytes(data[at : at + 8], "little") * _MULTIPLIER & _64_BITS
        k = (k ^ (k >> 47)) * _MULTIPLIER & _64_BITS
        h = (h ^ k) * _MULTIPLIER & _64_BITS
    if whole < len(data):
        h = (h ^ int.from_bytes(data[whole:], "little")) * _MULTIPLIER & _64_BITS
    h = (h ^ (h >> 47)) * _MULTIPLIER & _64_BITS
    return h ^ (h >> 47)


def _estimate(histogram: list[int]) -> int:
    z = _REGISTERS * _tau((_REGISTERS - histogram[_RANK_BITS + 1]) / _REGISTERS)
    for of_rank in reversed(histogram[1 : _RANK_BITS + 1]):
        z = (z + of_rank) * 0.5
    z += _REGISTERS * _sigma(histogram[0] / _REGISTERS)
    return floor(_ALPHA * _REGISTERS * _REGISTERS / z + 0.5)


def _sigma(x: float) -> float:
    if x == 1.0:
        return inf
    y, z, before = 1.0, x, -1.0
    while before != z:
        x *= x
        before = z
        z += x * y
        y += y
    return z


def _tau(x: float) -> float:
    if x in (0.0, 1.0):
        return 0.0
    y, z, before = 1.0, 1 - x, -1.0
    while before != z:
        x = sqrt(x)
        before = z
        y *= 0.5
        z -= (1 - x) ** 2 * y
    return z / 3
