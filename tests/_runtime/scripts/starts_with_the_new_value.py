"""The parts of `changes_a_value` with the new value, and with the old one."""

import json

from engine import make, measure

print(
    json.dumps([[measure(make(number, S)["scaled"]) for number in range(1, 5)] for S in (7.0, 2.0)])
)
