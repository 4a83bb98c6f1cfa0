"""The engine that runs in this process loses and counts what a network would."""

import pytest

from tripletrec.cluster.engine import SerialEngine
from tripletrec.cluster.worker import LostError


def keep(memory, value):
    memory["kept"] = value
    return value


def kept(memory, *others):
    return memory["kept"], *others


def test_results_travel_as_copies_and_are_counted():
    engine = SerialEngine(2)
    engine.open(list(engine.workers()))
    content = [b"x" * 1000]
    sent = engine.send("worker 0", content)
    here = engine.submit("worker 0", keep, sent)
    there = engine.submit("worker 1", keep, here)
    both = engine.submit("worker 1", kept, here, there)
    assert engine.gather([both]) == [(content, content, content)]
    assert engine.gather([here])[0] is not content
    assert 1000 < engine.carried["sent"] < 1100 < engine.carried["gathered"]
    assert 1000 < engine.carried["kept"] < 1100
    assert 1000 < engine.carried["keep"] < 1100


def test_what_a_worker_had_is_lost_with_it():
    engine = SerialEngine(2)
    engine.open(list(engine.workers()))
    result = engine.submit("worker 0", keep, 3)
    failed = engine.submit("worker 1", kept)
    with pytest.raises(KeyError):
        engine.gather([failed])
    with pytest.raises(KeyError):
        engine.gather([engine.submit("worker 1", keep, failed)])
    engine.lose("worker 0")
    with pytest.raises(LostError, match="^worker 0 is lost$"):
        engine.gather([])
    with pytest.raises(LostError, match="^worker 0 is lost$"):
        engine.gather([engine.submit("worker 1", keep, result)])
    assert engine.workers() == {"worker 1": 1}
