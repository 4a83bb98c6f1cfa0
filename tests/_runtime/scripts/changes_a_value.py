"""Values change after parts were compiled with them: what is compiled then belongs to neither value."""

import json

import numba
from engine import make, measure
from numba.core import event
from numba.extending import register_jitable

from tripletrec import part

results = {}

between = make(1, 2.0)
results["before"] = measure(between["scaled"])
between["S"] = 7.0
results["changed"] = measure(between["scaled"])
between["S"] = 2.0
results["changed back"] = measure(between["scaled"])

earlier = make(2, 2.0)
earlier_scaled = earlier["scaled"]


@numba.njit
def users_own(x):
    return earlier_scaled(x)


users_own(3.0)
earlier["S"] = 7.0
results["compiled by another function"] = measure(earlier["scaled"])

hidden = make(3, 2.0)
hidden_scaled = hidden["scaled"]


@register_jitable
def unseen(x):
    return hidden_scaled(x)


@part
def undecidable(x):
    return unseen(x)


results["undecidable"] = measure(undecidable)
hidden["S"] = 7.0
results["hidden behind it"] = measure(hidden_scaled)

meanwhile = make(4, 2.0)


class Change(event.Listener):
    def on_start(self, event):
        meanwhile["S"] = 7.0

    def on_end(self, event):
        pass


with event.install_listener("numba:compile", Change()):
    results["while compiling"] = measure(meanwhile["scaled"])
print(json.dumps(results))
