"""What is made once for a fitted model: when it is made again, who has it, and what it costs."""

import copy
import gc
import io
import pickle
import threading
import tracemalloc
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import tripletrec as tr
from tiers import quick

MODELS = {
    "dot": lambda: tr.MatrixFactorization(n_factors=6, n_epochs=2),
    "cosine": lambda: tr.MatrixFactorization(n_factors=6, n_epochs=2, scorer="cosine"),
    "towers": lambda: tr.TwoTower(n_factors=6, n_epochs=2),
    "perceptron": lambda: tr.MLPMatcher(
        n_user_factors=3, n_item_factors=4, hidden=(6,), n_epochs=2
    ),
}


@pytest.fixture(scope="module", params=quick(MODELS, "dot"))
def made(request):
    data = tr.datasets.make_interactions(40, 30, 300, random_state=1)
    return MODELS[request.param]().fit(data), data


def answers(model):
    users, items = range(model.n_users_), range(model.n_items_)
    return (
        *model.recommend(users, k=7, exclude=None),
        *model.similar_items(items, k=5),
        *model.similar_users(users, k=5),
        model.predict(users[:5], items[:5]),
    )


def are_equal(some, others):
    return all(np.array_equal(a, b) for a, b in zip(some, others, strict=True))


def twin(model):
    """The model with copies of all arrays, for which nothing has been prepared."""
    return copy.deepcopy(model)


def test_alone_and_among_others(made):
    model, _ = made
    ids, scores, like, cosines, *_ = answers(model)
    for each in range(20):
        found = model.recommend(each, k=7, exclude=None)
        assert are_equal(found, (ids[each], scores[each]))
        assert are_equal(model.similar_items(each, k=5), (like[each], cosines[each]))


def test_what_was_replaced_is_seen(made):
    model, data = made
    before = answers(model)
    for name in ("user_factors_", "item_factors_"):
        other = twin(model)
        answers(other)
        setattr(other, name, np.ascontiguousarray(getattr(other, name)[::-1]))
        assert not are_equal(answers(other), before)
        assert are_equal(answers(other), answers(twin(other)))
    other = twin(model).set_params(random_state=7)
    answers(other)
    other.fit(data)
    assert are_equal(answers(other), answers(twin(other)))
    assert are_equal(answers(model), before)


def test_a_scorer_that_was_replaced_is_seen():
    data = tr.datasets.make_interactions(40, 30, 300, random_state=1)
    model = MODELS["dot"]().fit(data)
    dot = answers(model)
    cosine = answers(model.set_params(scorer="cosine"))
    assert np.abs(cosine[1]).max() <= 1 + np.abs(model.item_biases_).max() + 1e-6
    assert are_equal(answers(model.set_params(scorer="dot")), dot)
    assert are_equal(answers(twin(model).set_params(scorer="cosine")), cosine)


def test_what_was_prepared_from_cannot_be_written_to(made):
    """It would go unnoticed. A copy can be, and may take its place."""
    model = twin(made[0])
    model.item_factors_[0] = 0.5  # nothing has been prepared yet
    answers(model)
    with pytest.raises(ValueError, match="read-only"):
        model.item_factors_[0] = 0
    factors = model.item_factors_.copy()
    factors[0] = 0
    model.item_factors_ = factors
    assert are_equal(answers(model), answers(twin(model)))


def test_nothing_of_it_is_an_attribute_or_pickled(made):
    model = twin(made[0])
    names, size = set(vars(model)), len(pickle.dumps(model))
    answers(model)
    assert set(vars(model)) == names and len(pickle.dumps(model)) == size
    again = pickle.loads(pickle.dumps(model))
    assert are_equal(answers(again), answers(model))


def test_it_ends_with_the_model(made):
    gc.freeze()  # of what is there already, nothing is looked for
    model = twin(made[0])
    answers(model)
    factors, gone = weakref.ref(model.item_factors_), weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None and factors() is None


def test_another_fit_lets_go_of_earlier_data():
    events = np.eye(6, 5)  # the last user has none, and gets what is popular
    for model in (tr.MatrixFactorization(6, n_epochs=1), tr.EASE(), tr.Popularity()):
        model.fit(events).recommend()
        earlier = weakref.ref(model.seen_)
        model.fit(events[::-1])
        gc.collect()
        assert earlier() is None, model


def test_threads_get_the_same_answers(made):
    model = twin(made[0])
    expected = answers(twin(made[0]))
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: answers(model), range(24)))
    assert all(are_equal(each, expected) for each in found)


def test_memory_does_not_grow_with_calls_nor_with_threads(made):
    model = twin(made[0])

    def ask(number):
        model.recommend(number % 40, k=5)
        model.similar_items(number % 30, k=5)

    tracemalloc.start()
    try:
        taken = []
        for _ in range(
            3
        ):  # what Python keeps of numbers and threads that are gone is there after the first
            with ThreadPoolExecutor(8) as pool:
                list(pool.map(ask, range(200)))
            gc.collect()
            taken.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert taken[2] - taken[0] < 20_000


def test_ids_are_looked_up_without_being_checked_again():
    data = tr.datasets.make_interactions(40, 30, 300, random_state=1)
    model = MODELS["dot"]().fit(
        tr.Interactions(data.tocsr(), user_ids=[f"u{n}" for n in range(40)])
    )
    assert model._users() is model._users()
    model.user_ids_ = model.user_ids_.copy()
    assert model._users().values is not None


def test_answers_belong_together_while_users_and_items_come(rng):
    """A reader gets the model from before or from after what another thread adds, never of both."""
    data = tr.datasets.make_interactions(40, 30, 300, random_state=1)
    log = data.to_frame().astype({"user": str, "item": str})
    model = tr.MatrixFactorization(n_factors=6, n_epochs=1).fit(tr.Interactions.from_frame(log))
    wrong, stop = [], threading.Event()
    calls = [
        lambda: model.recommend(k=3),
        lambda: model.recommend(k=3, output="pandas"),
        lambda: model.predict("3", model.item_ids_[:5]),
        lambda: model.similar_items("3"),
        lambda: model.similar_users("3", candidates=["4", "5"]),
        lambda: model.user_vectors(),
        lambda: model.explain("3", "4"),
        lambda: model.recommend_history(["3", "4"], k=3),
        lambda: model.save(io.BytesIO(), state=True),
        lambda: model.is_cold(),
    ]

    def read(number):
        while not stop.is_set():
            try:
                calls[number]()
            except Exception as error:
                wrong.append(error)
                return
            number = (number + 1) % len(calls)

    readers = [threading.Thread(target=read, args=(n,)) for n in (0, 4, 7)]
    for each in readers:
        each.start()
    for n in range(4):
        model.add_users({"user": [f"new {n}"], "item": ["3"]})
        model.partial_fit(
            tr.Interactions.from_frame({"user": [f"newer {n}"], "item": [f"new {n}"]})
        )
    stop.set()
    for each in readers:
        each.join()
    assert not wrong, wrong[0]
    assert model.n_users_ == 48 and model.n_items_ == 34


def test_two_threads_that_add_users_lose_none():
    data = tr.datasets.make_interactions(20, 15, 100, random_state=1)
    model = tr.MatrixFactorization(n_factors=6, n_epochs=1).fit(
        tr.Interactions(data.tocsr(), user_ids=[f"{n}" for n in range(20)])
    )

    def add(name):
        for n in range(10):
            model.add_users({"user": [f"{name} {n}"], "item": [n]})

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(add, ["a", "b"]))
    assert model.n_users_ == model.seen_.n_users == len(model.user_factors_) == 40
