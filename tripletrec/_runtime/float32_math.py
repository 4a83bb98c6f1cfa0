"""Exponential and logarithm in float32, by a few multiplications.

Inside a training loop, calling the C library costs more than the arithmetic: all values that the loop holds
in registers go to memory and back. These functions are inlined, and loops over them vectorise. Their relative
error is below 3.5e-7, less than three steps of float32.
"""

from __future__ import annotations

import math

import numpy as np

from tripletrec._runtime.jit import part

__all__ = ["exp_of_negative", "log_of_one_plus"]

_F = np.float32
_LOG2_E = _F(1.4426950408889634)
# log(2) in two parts: n times the first one is exact, so that a - n log(2) loses nothing where a is large
# (Cody and Waite, Software Manual for the Elementary Functions, 1980, ch. 6).
_LOG_2_HIGH, _LOG_2_LOW = _F(355 / 512), _F(math.log(2.0) - 355 / 512)
_SMALLEST = _F(87.0)  # exp(-88) is subnormal in float32
# The polynomial for exp(-r) on [0, log(2)] with the least relative error: 4e-11 before rounding, by Lawson's
# method.
_C0, _C1, _C2 = _F(1.0), _F(-0.9999999952634), _F(0.4999998345459)
_C3, _C4, _C5 = _F(-0.1666646831447), _F(0.0416552523972), _F(-0.0082977503180)
_C6, _C7 = _F(0.0013268408014), _F(-0.0001403313357)
# The series of 2 artanh(z) / z.
_D0, _D1, _D2, _D3 = _F(2.0), _F(2 / 3), _F(2 / 5), _F(2 / 7)
_D4, _D5, _D6, _D7 = _F(2 / 9), _F(2 / 11), _F(2 / 13), _F(2 / 15)


@part
def exp_of_negative(a):
    """Return exp(-a) for a float32 a >= 0; NaN stays NaN."""
    if a > _SMALLEST:
        a = _SMALLEST
    n = np.int32(_LOG2_E * a)
    whole = _F(n)
    r = (a - whole * _LOG_2_HIGH) - whole * _LOG_2_LOW
    r2 = r * r
    # Summed in pairs, so that the products need not wait for each other.
    low = (_C0 + _C1 * r) + r2 * (_C2 + _C3 * r)
    high = (_C4 + _C5 * r) + r2 * (_C6 + _C7 * r)
    power = np.int32((np.int32(127) - n) << np.int32(23)).view(np.float32)
    return (low + r2 * r2 * high) * power


@part
def log_of_one_plus(e):
    """Return log(1 + e) for a float32 e in [0, 1]: 2 artanh(e / (2 + e))."""
    z = e / (_F(2.0) + e)
    w = z * z
    w2 = w * w
    low = (_D0 + _D1 * w) + w2 * (_D2 + _D3 * w)
    high = (_D4 + _D5 * w) + w2 * (_D6 + _D7 * w)
    return z * (low + w2 * w2 * high)
