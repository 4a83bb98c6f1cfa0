"""Start values of rows of factors: normal numbers that depend on seed, row and place; tables are in `tables`.

No state is carried from one value to the next: any thread, process or machine may draw any rows, in any
order, and gets the same bits. Two values come from two words of 32 random bits, by the method of Box and
Muller ("A note on the generation of random normal deviates", Annals of Mathematical Statistics 29, 1958): a
length √(-2 ln u) and a direction. Logarithm, sine and cosine are polynomials, rounded as they are written;
so the loop is vectorised, about ten times as fast as NumPy's normals, and its bits depend on no processor or
library. No value is farther from 0 than 6.56 standard deviations.

The first values of a process NumPy draws, by the same functions of whole arrays: in less time than it
takes to compile the loop.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tripletrec._runtime.counter_random import bits
from tripletrec._runtime.first_work import FirstWork
from tripletrec._runtime.jit import index, kernel, part

__all__ = ["ITEMS", "LINE", "USERS", "start_rows"]

_AT_ONCE = 2**14
_FIRST = FirstWork(2**18)  # values
USERS, ITEMS = 0, 1  # the tables: each has random numbers of its own
LINE = 16  # float32 in a cache line: rows are padded to whole ones

_F, _I, _W = np.float32, np.int32, np.uint32
# A mixing function of 32 bits (C. Wellons, "Prospecting for hash functions", 2018): processors multiply
# vectors of eight or sixteen 32-bit integers, but 64-bit ones singly.
_STEP, _LINE_STEP = _W(0x9E3779B9), _W(0x9E3779B9 * LINE % 2**32)
_MIX1, _MIX2, _MIX3 = _W(0xED5AD4BB), _W(0xAC4C1B51), _W(0x31848BAB)

_ONE, _MINUS_TWO, _MINUS_2_LN_2 = _F(1), _F(-2), _F(-2 * math.log(2))
_SMALLEST = _F(2.0**-25)  # of -2 ln u: a length of 0 would make both values 0
_ROOT_HALF = _I(0x3F3504F3)  # the bits of √½
# -2 ln(1 + f) = f (-2 + f (L0 + L1 f + ...)) between √½ and √2, to 2e-7 of itself.
_L0, _L1, _L2, _L3 = _F(1.0000064687), _F(-0.6666942981), _F(0.4994245703), _F(-0.3981376628)
_L4, _L5, _L6 = _F(0.3448644924), _F(-0.3236100268), _F(0.2016475794)
# sin πh = h (S0 + S1 h² + ...) and cos πh = C0 + C1 h² + ... between -½ and ½, to 6e-7 and 5e-8.
_TURN = _F(2.0**-32)
_S0, _S1, _S2, _S3 = _F(3.1415820222), _F(-5.1671427964), _F(2.5418990276), _F(-0.5546361971)
_C0, _C1, _C2 = _F(0.9999999535), _F(-4.9347928587), _F(4.0584119142)
_C3, _C4 = _F(-1.3318801612), _F(0.2196967986)


@part
def _word(low, high, place):
    """Return 32 random bits: number `place` of the stream whose key are `low` and `high`."""
    z = _W(low + place * _STEP)
    z = _W(_W(z ^ (z >> _W(17))) * _MIX1 + high)
    z = _W(_W(z ^ (z >> _W(11))) * _MIX2)
    z = _W(_W(z ^ (z >> _W(15))) * _MIX3)
    return _W(z ^ (z >> _W(14)))


@part(fused=True)
def _square(a):
    """Return the square of a length, -2 ln u, from a random word."""
    # Odd numbers lie evenly about the middle; u = n / 2**31. The lowest bit of `a` is left over.
    n = np.float32(_I((a >> _W(1)) | _W(1))).view(np.int32)
    exponent = _I(_I(n - _ROOT_HALF) >> _I(23))
    f = np.int32(n - _I(exponent << _I(23))).view(np.float32) - _ONE
    f2 = f * f
    logarithm = (_L0 + _L1 * f) + f2 * ((_L2 + _L3 * f) + f2 * ((_L4 + _L5 * f) + f2 * _L6))
    return _F(_I(exponent - _I(31))) * _MINUS_2_LN_2 + f * (_MINUS_TWO + f * logarithm)


@part(fused=True)
def _turned(length, a, b):
    """Return two normal numbers: a length in a direction that two random words tell."""
    h = _F(_I(b | _W(1))) * _TURN
    w = h * h
    w2 = w * w
    sine = h * ((_S0 + _S1 * w) + w2 * (_S2 + _S3 * w))
    cosine = (_C0 + _C1 * w) + w2 * ((_C2 + _C3 * w) + w2 * _C4)
    # The angle is of the right half of the circle; the bit left over decides about the other one.
    x = np.float32(length * cosine).view(np.int32) ^ _I(a << _W(31))
    return np.int32(x).view(np.float32), length * sine


@kernel(exact=True)
def _draw(rows, key, scale, n_lines, size, words, table):
    """Fill the first `n_lines` lines of every row, of `size` numbers, of a flat table."""
    # The two words of each row are read from memory: LLVM would otherwise calculate with 64 bits
    # throughout, in twice the time.
    for t in range(rows.shape[0]):
        z = bits(key, index(rows[t]))
        words[2 * t], words[2 * t + 1] = _W(z), _W(z >> np.uint64(32))
    for t in range(rows.shape[0]):
        low, high = words[2 * t], words[2 * t + 1]
        for line in range(n_lines):
            first = _W(low + _W(line) * _LINE_STEP)
            at = index(t) * index(size) + index(line) * index(LINE)
            for k in range(index(LINE // 2)):
                place = _W(k + k)
                a, b = _word(first, high, place), _word(first, high, _W(place + _W(1)))
                square = _square(a)
                length = math.sqrt(square if square > _SMALLEST else _SMALLEST)
                x, y = _turned(length, a, b)
                table[at + k + k] = scale * x
                table[at + k + k + index(1)] = scale * y


def _draw_first(
    rows: NDArray[np.int64], key: NDArray[Any], scale: np.float32, table: NDArray[np.float32]
) -> None:
    """Do what `_draw` does, by NumPy; `table` has the lines of each row, of shape (n, n_lines * LINE)."""
    places = np.arange(table.shape[1], dtype=np.uint32).reshape(-1, 2).T
    n_each = max(1, _AT_ONCE // max(1, table.shape[1]))
    for first in range(0, len(rows), n_each):
        z = bits(key, rows[first : first + n_each, None].astype(np.uint64))
        key_of_row = z.astype(np.uint32), (z >> np.uint64(32)).astype(np.uint32)
        a, b = (_word(*key_of_row, each) for each in places)
        x, y = _turned(np.sqrt(np.maximum(_square(a), _SMALLEST)), a, b)
        part_of_table = table[first : first + n_each]
        np.multiply(x, scale, out=part_of_table[:, ::2])
        np.multiply(y, scale, out=part_of_table[:, 1::2])


def start_rows(
    rows: NDArray[np.int64],
    into: NDArray[np.float32],
    n_factors: int,
    *,
    scale: float,
    seed: int,
    table: int,
) -> None:
    """Write the start values of the factors of some rows.

    Value k of row r is a function of seed, table, r and k alone, whichever other rows and however many
    factors are asked for.

    Parameters
    ----------
    rows : int64 array of shape (n,)
        Numbers of the rows in the whole table, in any order.
    into : float32 array of shape (n, n_numbers, width)
        Contiguous, `width` a multiple of `LINE`. Of each row the first `width` numbers are written: the
        factors, then zeros.
    n_factors : int
        At most `width`.
    scale : float
        Standard deviation of the factors.
    seed : int
    table : {USERS, ITEMS}

    Raises
    ------
    ValueError
        If the shapes do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> drawn = np.empty((3, 1, 16), np.float32)
    >>> start_rows(np.array([7, 0, 7]), drawn, 5, scale=0.1, seed=0, table=USERS)
    >>> bool((drawn[0] == drawn[2]).all()), bool((drawn[0] == drawn[1]).all())
    (True, False)
    """
    n, n_numbers, width = into.shape
    fits = len(rows) == n and width % LINE == 0 and n_factors <= width and n_numbers > 0
    if not (fits and into.flags.c_contiguous):
        raise ValueError(
            f"start values of {len(rows)} rows of {n_factors} factors do not fit an array of shape "
            f"{into.shape}: it must be contiguous, and its rows whole lines of {LINE}"
        )
    stream = np.random.SeedSequence(seed, spawn_key=(table,))
    key = stream.generate_state(1, np.uint64)
    rows = np.ascontiguousarray(rows, np.int64)
    n_lines, size = -(-n_factors // LINE), n_numbers * width
    if _FIRST.covers(n * n_lines * LINE):
        _draw_first(rows, key, np.float32(scale), into[:, 0, : n_lines * LINE])
    else:
        words = np.empty(2 * n, np.uint32)
        _draw(rows, key[0], np.float32(scale), n_lines, size, words, into.reshape(-1))
    into[:, 0, n_factors:] = 0.0
