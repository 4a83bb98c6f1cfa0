"""Lives of models: any sequence of what changes one, beside plain Python that says what must hold."""

import copy
import io
import pickle

import hypothesis
import numpy as np
import pytest
from hypothesis import stateful
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, rule

import tripletrec as tr
from contracts.support import catalogue, learnt
from tiers import quick

# A few epochs on pairs without a pattern need not move the loss.
pytestmark = pytest.mark.filterwarnings("ignore:the training loss has not moved")

MODELS = {
    "popularity": tr.Popularity,
    "ease": lambda: tr.EASE(l2=5.0),
    "triplets": lambda: tr.MatrixFactorization(6, n_epochs=2, sampler="unseen"),
    "lists": lambda: tr.MatrixFactorization(6, loss="softmax", n_epochs=2, history=0.6),
    "towers": lambda: tr.TwoTower(6, n_epochs=2),
    "perceptron": lambda: tr.MLPMatcher(3, 4, (6,), n_epochs=2),
}
PAIRS = st.lists(
    st.tuples(st.integers(0, 11).map("user {}".format), st.integers(-2, 8)), min_size=1, max_size=25
)


def cut(model, record):
    raise ArithmeticError


def events(pairs):
    users, items = zip(*pairs, strict=True)
    return tr.Interactions.from_frame({"user": users, "item": items})


def loaded(model):
    file = io.BytesIO()
    model.save(file, state=model._learns_in_epochs)
    file.seek(0)
    return tr.load(file)


COPIES = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda model: pickle.loads(pickle.dumps(model)),
    "file": loaded,
}
REFUSED = {
    "no epochs": lambda model: model.partial_fit(model.seen_, n_epochs=0),
    "other ids": lambda model: model.partial_fit(tr.Interactions(np.eye(2), user_ids=[1, 2])),
    "no interactions": lambda model: model.fit(np.zeros((3, 4))),
    "known users": lambda model: model.add_users({"user": model.user_ids_[:1], "item": [0]}),
    "unknown items": lambda model: model.add_users({"user": ["new"], "item": [99]}),
    "unknown user": lambda model: model.recommend(["user 0", "nobody"]),
    "unknown history": lambda model: model.recommend_history([[99]]),
    "callback": lambda model: model.partial_fit(model.seen_, callbacks=cut),
    "threads": lambda model: type(model)(n_jobs=0).fit(model.seen_),
}


class Life(stateful.RuleBasedStateMachine):
    """A model and what it must know: users and items in their order, and the values of what was seen."""

    def __init__(self, make):
        super().__init__()
        self.model = make()

    @initialize(pairs=PAIRS)
    def begin(self, pairs):
        self.fit(pairs)

    @rule(pairs=PAIRS)
    def fit(self, pairs):
        data = events(pairs)
        self.model.fit(data)
        self.users, self.items, self.seen, self.n_epochs = [], [], {}, 2
        self.learn(data, pairs)

    @rule(pairs=PAIRS, n_epochs=st.integers(1, 2))
    def partial_fit(self, pairs, n_epochs):
        data, earlier = events(pairs), copy.copy(self.model)
        before = learnt(earlier), catalogue(earlier)
        self.model.partial_fit(data, n_epochs)
        assert learnt(earlier) == before[0]
        np.testing.assert_array_equal(catalogue(earlier), before[1])
        self.n_epochs += n_epochs
        self.learn(data, pairs)

    def learn(self, data, pairs):
        self.users += [each for each in data.user_ids.tolist() if each not in self.users]
        self.items += [each for each in data.item_ids.tolist() if each not in self.items]
        for pair in pairs:
            self.seen[pair] = self.seen.get(pair, 0.0) + 1.0
        had = [item for _, item in self.seen]
        self.counts = [had.count(each) for each in self.items]

    @rule(n=st.integers(1, 2), choice=st.sets(st.integers(0, 10), max_size=3))
    def add_users(self, n, choice):
        items = [each for place, each in enumerate(self.items) if place in choice]
        new = [f"new {len(self.users) + k}" for k in range(n)]
        expected = self.model.recommend_history([items] * n, k=4)
        own = np.repeat([np.isin(self.model.item_ids_, items)], n, axis=0)
        data = tr.Interactions(own, user_ids=new, item_ids=self.model.item_ids_)
        self.model.add_users(data)
        self.users += new
        self.seen |= {(user, item): 1.0 for user in new for item in items}
        for ours, theirs in zip(self.model.recommend(new, k=4), expected, strict=True):
            np.testing.assert_array_equal(ours, theirs)

    @rule(how=st.sampled_from(sorted(COPIES)))
    def go_on_with_a_copy(self, how):
        again = COPIES[how](self.model)
        assert learnt(again) == learnt(self.model)
        np.testing.assert_array_equal(catalogue(again), catalogue(self.model))
        self.model = again

    @rule(what=st.sampled_from(sorted(REFUSED)))
    def refuse(self, what):
        before = learnt(self.model), self.model.seen_, catalogue(self.model)
        with pytest.raises((ValueError, TypeError, ArithmeticError)) as caught:
            REFUSED[what](self.model)
        assert "\n" not in str(caught.value)
        assert learnt(self.model) == before[0] and self.model.seen_ is before[1]
        np.testing.assert_array_equal(catalogue(self.model), before[2])

    @invariant()
    def it_knows_what_it_was_given(self):
        model, seen = self.model, self.model.seen_
        assert model.item_counts_.tolist() == self.counts
        assert model.user_ids_.tolist() == self.users and model.item_ids_.tolist() == self.items
        triples = zip(seen.rows, seen.indices, seen.values, strict=True)
        assert {(self.users[u], self.items[i]): value for u, i, value in triples} == self.seen
        epochs = [each["epoch"] for each in getattr(model, "history_", [])]
        assert epochs == list(range(1, 1 + self.n_epochs))[: len(epochs)]

    @invariant()
    def lists_are_of_its_scores(self):
        scores, (ids, _) = catalogue(self.model), self.model.recommend(k=5)
        cold = self.model.is_cold()
        for row, user in enumerate(self.users):
            own = {item for each, item in self.seen if each == user}
            assert cold[row] == (not own)
            strengths = scores[row] if own else self.counts
            order = sorted(range(len(self.items)), key=lambda place: -strengths[place])
            expected = [self.items[place] for place in order if self.items[place] not in own][:5]
            assert [each for each in ids[row].tolist() if each is not None] == expected


@pytest.mark.parametrize("name", quick(MODELS, "ease", "triplets"))
def test_any_life(name):
    number = max(3, hypothesis.settings.default.max_examples // 5)
    phases = set(hypothesis.Phase) - {hypothesis.Phase.shrink}  # takes minutes, for twelve steps
    settings = hypothesis.settings(max_examples=number, stateful_step_count=12, phases=phases)
    stateful.run_state_machine_as_test(lambda: Life(MODELS[name]), settings=settings)
