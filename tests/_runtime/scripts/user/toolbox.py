from typing import NamedTuple


class Weights(NamedTuple):
    a: float
    b: float
