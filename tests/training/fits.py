"""Trainings by triplets of small data, whose work is shared however little it is; and choices of parts."""

import itertools
from dataclasses import replace

import numpy as np

import tripletrec as tr
from contracts.support import negatives_of as random_negatives
from tripletrec import losses, optimizers, sampling, scorers
from tripletrec.sampling.draw import ItemsOfUsers
from tripletrec.training.strata import LIMITS
from tripletrec.training.triplet import TripletTraining

# Small data would be left to one thread, and nothing would be seen of what several do.
SHARED = LIMITS._replace(least_run=1, least_searched=LIMITS.least_triplets)
PARTS = (losses.LOSSES, scorers.SCORERS, optimizers.OPTIMIZERS)
NAMES = ("users", "items", "biases", "user_step_counts", "item_step_counts")
LIST_LOSSES = {
    "softmax": losses.softmax(0.4),
    "bsl": losses.bsl(0.3, 0.5),
    "ccl": losses.ccl(-0.2, 3.0),
}


def covering(*axes):
    """Return choices of one value from each of three axes or more, in some of which any two values meet.

    Kernels are compiled for these, as each takes seconds, and not for all combinations. The parts of a kernel
    are compiled by themselves and know nothing of each other, so that what does not go together is found
    where any two of them meet.
    """
    choices = itertools.product(*map(enumerate, axes))
    return [
        tuple(value for _, value in choice)
        for choice in choices
        if sum(place for place, _ in choice) % 2 == 0
    ]


COVERING = covering(*PARTS)
# Each part once beside the default ones, as models are learnt with it in other tests.
QUICK = [
    ("bpr", "dot", "sgd"),
    ("bpr", "dot", "adam"),
    ("bpr", "cosine", "adagrad"),
    ("sigmoid", "dot", "adagrad"),
    ("hinge", "dot", "adagrad"),
]
# Choices among three candidates, each with any part; most of these kernels are compiled for other tests, too.
CHOOSING = [
    ("hardest", ("bpr", "dot", "adagrad")),
    ("hardest", ("sigmoid", "dot", "adagrad")),
    ("hardest", ("hinge", "dot", "adagrad")),
    ("hardest", ("bpr", "cosine", "sgd")),
    ("hardest", ("bpr", "cosine", "adam")),
    ("semi_hard", ("bpr", "dot", "adagrad")),
    ("semi_hard", ("sigmoid", "cosine", "sgd")),
    ("semi_hard", ("hinge", "cosine", "adam")),
]
QUICK_CHOOSING = [(choice, ("bpr", "dot", "adagrad")) for choice in ("hardest", "semi_hard")]


def few_likes(rng):
    """What five users like of eight items: five or more in all, and nobody the last one."""
    likes = rng.random((5, 8)) < 0.35
    likes[np.arange(5), np.arange(5)], likes[:, 7] = True, False
    return tr.Interactions(likes)


def plan_of(given=None, **params):
    plan = tr.MatrixFactorization(**{"n_factors": 6, "n_epochs": 3, **params})._plan()
    if given is not None and plan.sampler.share == 0.0:
        mixed = plan.sampler._replace(share=0.5)
        plan = replace(plan, sampler=sampling.explicit(0.5) if mixed.choose is None else mixed)
    return plan


def start(
    data, *, weights=None, given=None, n_jobs=1, limits=SHARED,
    **params,
):  # fmt: skip
    """Return a training of the data; see `TripletTraining`."""
    return TripletTraining(
        plan_of(given, **params), data, weights, given, n_jobs, limits=limits,
    )  # fmt: skip


def run(training, epochs=(1, 2, 3)):
    """Run these epochs; return their records, without the times."""
    with training.threads():
        records = [training.run_epoch(number) for number in epochs]
    return [{k: v for k, v in each.items() if k != "seconds"} for each in records]


def latest_importance(training):
    """Return what holds the candidates of the latest batch of a list-wise training, and their weights."""
    draw, importance = training.candidates.draw, {}

    def note(key, items, weights):
        n = draw(key, items, weights)
        importance.clear()
        importance.update(zip(items[:n].tolist(), weights[:n].tolist(), strict=True))
        return n

    training.candidates.draw = note
    return importance


def assert_same_tables(one, other):
    for name in NAMES:
        ours, theirs = (getattr(each.settle(), name) for each in (one, other))
        np.testing.assert_array_equal(ours, theirs, err_msg=name)


def negatives_of(data, share=0.02):
    return tr.Interactions(random_negatives(data, share=share))


def weights_of(data):
    return np.random.default_rng(1).uniform(0.5, 2, data.nnz).astype(np.float32)


def histories_of(lists):
    """Return lists of items as new users are learnt from them."""
    lengths = [len(each) for each in lists]
    flat = [item for each in lists for item in sorted(each)]
    return ItemsOfUsers(np.concatenate([[0], np.cumsum(lengths)]), np.array(flat, np.int32))
