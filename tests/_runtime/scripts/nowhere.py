"""No folder can be written."""

import json

from engine import make, measure

print(json.dumps([measure(make(1, 2.0)["scaled"]) for _ in range(2)]))
