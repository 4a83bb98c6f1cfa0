"""Start values of factors once more, one pair at a time: whole numbers of any size, and NumPy's float32."""

import math

import numpy as np

from naive import bits

F = np.float32
LOGARITHM = [
    1.0000064687, -0.6666942981, 0.4994245703, -0.3981376628, 0.3448644924, -0.3236100268, 0.2016475794,
]  # fmt: skip
SINE = [3.1415820222, -5.1671427964, 2.5418990276, -0.5546361971]
COSINE = [0.9999999535, -4.9347928587, 4.0584119142, -1.3318801612, 0.2196967986]


def key(seed, table):
    return int(np.random.SeedSequence(seed, spawn_key=(table,)).generate_state(1, np.uint64)[0])


def word(z, place):
    """Number `place` of the random words of a row: a mixing function of 32 bits with a key of 64."""
    low, high = z % 2**32, z >> 32
    z = (low + place * 0x9E3779B9) % 2**32
    z = ((z ^ (z >> 17)) * 0xED5AD4BB + high) % 2**32
    z = (z ^ (z >> 11)) * 0xAC4C1B51 % 2**32
    z = (z ^ (z >> 15)) * 0x31848BAB % 2**32
    return z ^ (z >> 14)


def polynomial(coefficients, x):
    """The sum of ``c[n] * x**n`` in float32, by pairs: (c0 + c1 x) + x² ((c2 + c3 x) + x² (...))."""
    c = [F(each) for each in coefficients]
    total = c[-1] if len(c) % 2 else c[-2] + c[-1] * x
    for n in range(len(c) - (3 if len(c) % 2 else 4), -1, -2):
        total = (c[n] + c[n + 1] * x) + (x * x) * total
    return total


def pair(a, b):
    """Two normal numbers of two words; every step is rounded to float32."""
    n = F((a >> 1) | 1)
    mantissa, exponent = math.frexp(n)  # from ½ to 1
    if F(mantissa) < F(math.sqrt(0.5)):
        mantissa, exponent = 2 * mantissa, exponent - 1
    f = F(mantissa) - F(1)
    square = F(exponent - 31) * F(-2 * math.log(2)) + f * (F(-2) + f * polynomial(LOGARITHM, f))
    length = np.sqrt(max(square, F(2**-25)))
    h = F(np.int32(np.uint32(b | 1))) * F(2**-32)
    x = length * polynomial(COSINE, h * h)
    return -x if a & 1 else x, length * (h * polynomial(SINE, h * h))


def exact_pair(a, b):
    """The same without rounding."""
    length = math.sqrt(-2 * math.log(((a >> 1) | 1) / 2**31))
    signed = (b | 1) - 2**32 * (b >= 2**31)
    angle = math.pi * signed / 2**32
    return length * math.cos(angle) * (-1) ** (a & 1), length * math.sin(angle)


def row(number, n_factors, seed, table, pair=pair):
    z = bits(key(seed, table), number)
    words = [word(z, place) for place in range(n_factors + 1)]
    values = [x for k in range(0, n_factors, 2) for x in pair(words[k], words[k + 1])]
    return values[:n_factors]
