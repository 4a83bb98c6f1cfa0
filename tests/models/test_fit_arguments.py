"""What `fit` is told of data, negatives, weights and callbacks that it cannot use; each check by itself."""

import math
import re
import warnings

import numpy as np
import pytest
import scipy.sparse as sp

import tripletrec as tr
from contracts.support import assert_same, digest, negatives_of
from tiers import quick
from tripletrec import losses, sampling
from tripletrec.models.fit_arguments import (
    check_callbacks,
    check_dropout,
    check_n_negatives,
    check_patience,
    check_sample_weight,
    check_sampling,
    check_widths,
    has_negatives,
)

# A few epochs on pairs without a pattern need not move the loss.
pytestmark = pytest.mark.filterwarnings("ignore:the training loss has not moved")


def make(**overrides):
    return tr.MatrixFactorization(**{"n_factors": 6, "n_epochs": 3, **overrides})


# -------------------------------------------------------------------- in every fit


def spoilt(value, dtype=np.float64):
    dense = np.ones((4, 5), dtype)
    dense[1, 2] = value
    return dense


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (spoilt(np.nan), "X must hold finite values >= 0, got the value nan at row 1, column 2"),
        (spoilt(np.inf), "X must hold finite values >= 0, got the value inf at row 1, column 2"),
        (spoilt(-1.0), "got the negative value -1.0 at row 1, column 2"),
        (spoilt(-1, np.int8), "got the negative value -1 at row 1, column 2"),
        (spoilt(1j, np.complex64), "got the complex value"),
        (spoilt(1e300), "X must hold finite values >= 0, got the beyond float32"),
        (np.zeros((4, 5)), "X has no interaction: at least one positive is needed"),
        (np.zeros((0, 5)), r"X has no user: its shape is \(0, 5\)"),
        (np.zeros((4, 0)), r"X has no item: its shape is \(4, 0\)"),
        (np.ones(5), r"X must have two dimensions \(users, items\), got 1"),
        (np.ones((2, 2, 2)), r"X must have two dimensions \(users, items\), got 3"),
        ([[1, 0], [1]], "X must be a two-dimensional array"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_wrong_matrices(X, message, refused):
    message = message.replace("the beyond", "beyond").replace("beyond float32", ".*beyond float32")
    containers = [np.asarray] if isinstance(X, list) or X.ndim != 2 else [
        np.asarray, sp.csr_matrix, sp.coo_array, sp.csc_matrix,
    ]  # fmt: skip
    for container in containers:
        given = X if isinstance(X, list) else container(X)
        refused(ValueError, message, given)


@pytest.mark.parametrize("X", [None, "data", 5, object(), {"a": 1}], ids=lambda X: type(X).__name__)
def test_no_matrix_at_all(X, refused):
    refused((TypeError, ValueError), "^X must ", X)


def test_table_is_told_what_to_do(refused):
    import pandas as pd

    frame = pd.DataFrame({"user": [0, 1], "item": [1, 0]})
    refused(TypeError, "use Interactions.from_frame", frame)


def test_broken_csr(refused, pairs):
    for name, place, value in [
        ("indices", 3, 40),
        ("indices", 3, -1),
        ("indptr", 5, -4),
        ("indptr", -1, 10**6),
        ("indptr", 0, 1),
    ]:
        broken = pairs.tocsr().copy()
        for each in ("indices", "indptr", "data"):
            setattr(broken, each, getattr(broken, each).copy())
        getattr(broken, name)[place] = value
        refused(ValueError, name, broken)


def test_wrong_negatives(refused, pairs):
    def refuse(message, negatives, kind=ValueError):
        refused(kind, message, pairs, negatives=negatives)

    refuse("negatives must have the 30 users and 40 items of X, got 40 and 30", np.ones((40, 30)))
    refuse("negatives must hold finite values >= 0, got the negative value -1.0", -pairs.tocsr())
    row, column = pairs.rows[7], pairs.indices[7]
    both = sp.csr_matrix(([1e-30], ([row], [column])), pairs.space.shape)
    refuse(f"1 pairs are both, the first is row {row}, column {column}", both)
    refuse(f"{pairs.nnz} pairs are both, the first is row", pairs)
    named = tr.Interactions.from_frame({"user": ["a", "b"], "item": [70, 50]})
    with pytest.raises(ValueError, match="1 pairs are both, the first is user 'b', item 50"):
        tr.MatrixFactorization().fit(named, negatives=named[named.rows == 1])
    refuse("negatives must be Interactions", "none", (TypeError, ValueError))


@pytest.mark.parametrize("sampler", ["unseen", "explicit", "popularity", "dynamic"])
def test_a_day_without_dislikes(sampler, pairs):
    plain = "unseen" if sampler == "explicit" else sampler
    expected = make(sampler=plain).fit(pairs)
    for given in (np.zeros((30, 40)), sp.coo_array((30, 40)), tr.Interactions.empty(pairs)):
        assert_same(make(sampler=sampler).fit(pairs, negatives=given), expected)
    nothing = sp.csr_matrix((30, 40))
    expected = make(loss="softmax").fit(pairs)
    assert_same(make(loss="softmax").fit(pairs, negatives=nothing), expected)


def test_nothing_to_learn_from_or_to_validate_on(refused, pairs):
    nothing = tr.Interactions.empty(pairs)
    refused(ValueError, "^X has no interaction: at least one positive is needed$", nothing)
    message = "^validation has no interaction: at least one positive is needed$"
    refused(ValueError, message, pairs, validation=nothing)


def test_tiny_values_are_positives_too(refused, pairs):
    tiny = pairs.tocsr() * np.float32(1e-30)
    refused(ValueError, "pairs are both", tiny, negatives=tiny)
    assert_same(make().fit(tiny), make().fit(pairs))


def test_wrong_sample_weights(refused, pairs):
    def refuse(message, weights, kind=ValueError):
        refused(kind, message, pairs, sample_weight=weights)

    ones = np.ones(pairs.nnz)
    refuse(r"one number per interaction, shape \(300,\), got \(299,\)", ones[1:])
    refuse(r"shape \(300,\), got \(300, 1\)", ones[:, None])
    refuse(r"shape \(300,\), got \(\)", 2.0)
    refuse(r"shape \(300,\), got \(30, 40\)", np.ones((30, 40)))
    refuse("sample_weight must have the 30 users and 40 items of X, got 2 and 2", sp.eye(2).tocsr())
    for value in (-1.0, math.nan, math.inf, 1e300):
        wrong = ones.copy()
        wrong[[7, 9]] = value
        message = f"sample_weight must be finite in float32 and >= 0, got {value} at position 7"
        refuse(re.escape(message), wrong)
    refuse("sample_weight must not be all zero", 0 * ones)
    refuse("sample_weight must not be all zero", sp.csr_matrix((30, 40)))
    masked = np.ma.array(ones, mask=ones == 1)
    refuse("sample_weight must not be masked, but 300 of its entries are: fill them first", masked)
    refuse(
        "sample_weight must not have missing entries, got None at 7", [*ones[:7], None, *ones[8:]]
    )
    refuse("sample_weight must not be all zero", 1e-300 * ones)
    refuse("sample_weight must hold numbers, got dtype complex128", 1j * ones, TypeError)
    refuse("sample_weight must hold numbers, got dtype <U1", ["1"] * 300, TypeError)
    refuse("sample_weight must be 'values', 'users' or numbers, got 'value'", "value")
    refuse("sample_weight must hold finite values >= 0", -pairs.tocsr())
    named = tr.Interactions.from_arrays([0, 0], [0, 1], user_ids=["ann"], item_ids=["a", "b"])
    message = r"got -1.0 at position 1 \(of user 'ann', item 'b'\)"
    refused(ValueError, message, named, sample_weight=[1.0, -1.0])


def test_wrong_callbacks(refused, pairs):
    refused(TypeError, "callbacks must be callable, got 3", pairs, callbacks=[print, 3])
    for wrong in (5, "print"):
        refused(TypeError, "callbacks", pairs, callbacks=wrong)


def test_early_stopping_is_checked(refused, pairs):
    for value, kind in ((0, ValueError), (-1, ValueError), (1.5, TypeError), (True, TypeError)):
        message = f"early_stopping must be an integer >= 1, got {value}"
        params = {"early_stopping": value}
        refused(kind, message, pairs, params=params, validation=pairs)


def test_explicit_share_of_zero_takes_no_given_negative(pairs):
    given = negatives_of(pairs)
    none = make(sampler=sampling.explicit(0.0)).fit(pairs, negatives=given)
    half = make(sampler=sampling.explicit(0.5)).fit(pairs, negatives=given)
    assert digest(none) != digest(half)


# -------------------------------------------------------------------- one check at a time


@pytest.mark.parametrize(
    ("n_negatives", "loss", "n_items", "expected"),
    [
        (None, losses.BPR, None, 1),
        (5, losses.BPR, 3, 5),
        (np.int32(2), losses.BPR, 3, 2),
        (None, losses.softmax(), None, 0),
        (None, losses.softmax(), 8192, 0),
        (None, losses.softmax(), 8193, 4096),
        ("all", losses.softmax(), 10**6, 0),
        (9000, losses.softmax(), 9000, 9000),
        (9000, losses.softmax(), None, 9000),
    ],
)
def test_number_of_negatives(n_negatives, loss, n_items, expected):
    assert check_n_negatives(n_negatives, loss, n_items) == expected


@pytest.mark.parametrize(
    ("n_negatives", "loss", "kind", "message"),
    [
        ("all", losses.BPR, TypeError, "n_negatives must be an integer >= 1, got 'all'"),
        ("some", losses.softmax(), ValueError, "n_negatives must be 'all' or an integer >= 1"),
        (0, losses.softmax(), ValueError, "n_negatives must be an integer >= 1, got 0"),
        (11, losses.softmax(), ValueError, r"at most the number of items \(10\) .*, got 11"),
    ],
)
def test_wrong_number_of_negatives(n_negatives, loss, kind, message):
    with pytest.raises(kind, match=message):
        check_n_negatives(n_negatives, loss, 10)


def test_share_of_given_negatives(pairs):
    given = tr.Interactions(negatives_of(pairs))
    for sampler, share in (
        (sampling.UNSEEN, 0.1),
        (sampling.explicit(0.0), 0.0),
        (sampling.explicit(0.3), 0.3),
    ):
        for loss in (losses.BPR, losses.softmax()):
            assert check_sampling(loss, sampler, given) == sampler._replace(share=share)
    assert check_sampling(losses.BPR, sampling.UNSEEN, None) == sampling.UNSEEN
    assert check_sampling(losses.softmax(), sampling.UNSEEN, None) == sampling.UNSEEN
    for loss in (losses.BPR, losses.softmax()):
        with pytest.raises(
            ValueError, match="from the argument negatives of fit, which is missing"
        ):
            check_sampling(loss, sampling.explicit(0.3), None)
    assert check_sampling(losses.BPR, sampling.explicit(1.0), given).share == 1.0
    with pytest.raises(ValueError, match="compares with all items.* must have a share below 1"):
        check_sampling(losses.softmax(), sampling.explicit(1.0), given)
    with pytest.raises(ValueError, match="sampler 'dynamic', which chooses among them"):
        check_sampling(losses.softmax(), sampling.dynamic(), None)


def test_weights_by_users():
    rows, columns = [0, 0, 0, 0, 2], [0, 1, 3, 4, 2]  # user 1 has none
    data = tr.Interactions.from_arrays(rows, columns, values=[7, 1, 1, 1, 9], shape=(3, 5))
    weights = check_sample_weight("users", data)
    # One half and one, times five sixths or ten sixths: a mean of 1.
    np.testing.assert_allclose(weights, [5 / 6, 5 / 6, 5 / 6, 5 / 6, 10 / 6], rtol=1e-6)
    assert weights.dtype == np.float32
    assert len(check_sample_weight("users", tr.Interactions(np.zeros((2, 3))))) == 0


def test_callbacks():
    assert check_callbacks(None) == check_callbacks([]) == []
    assert (
        check_callbacks(print) == check_callbacks([print]) == check_callbacks((print,)) == [print]
    )


def test_patience(pairs):
    assert check_patience(None, "auc", None) is None
    assert check_patience(None, "ndcg@3", pairs) is None
    assert check_patience(np.int64(3), "auc", pairs) == 3
    with pytest.raises(ValueError, match="early_stopping needs validation data"):
        check_patience(3, "auc", None)


@pytest.mark.parametrize("rate", [0, 0.0, 0.5, np.float32(0.25), 0.999])
def test_dropout(rate):
    assert check_dropout(rate) == float(rate)
    assert type(check_dropout(rate)) is float


@pytest.mark.parametrize("rate", [1, 1.0, -0.1, 1.5, math.nan, math.inf, True, False, "0.1", None])
def test_wrong_dropout(rate):
    kind = ValueError if type(rate) in (int, float) else TypeError
    message = f"dropout must be a number from 0 to 1 (1 excluded), got {rate!r}"
    with pytest.raises(kind, match=re.escape(message)):
        check_dropout(rate)


def test_widths():
    assert check_widths((), "hidden") == ()
    assert check_widths(8, "hidden") == check_widths([8], "hidden") == (8,)
    assert check_widths(np.array([8, 4]), "hidden") == (8, 4)
    for wrong in ("8", b"8", [[8]]):
        with pytest.raises(TypeError, match="hidden must be integers >= 1"):
            check_widths(wrong, "hidden")


def test_samplers_that_models_refuse(small):
    for sampler in ("dynamic", sampling.semi_hard(4), sampling.dynamic()._replace(share=0.5)):
        name = getattr(sampler, "name", sampler)
        with pytest.raises(ValueError, match=f"loss 'bsl' .* sampler '{name}'|given"):
            tr.MatrixFactorization(loss="bsl", sampler=sampler).fit(small)
    for loss in ("bpr", "softmax"):
        with pytest.raises(ValueError, match="sampler 'nearest' compares features of items, which"):
            tr.MatrixFactorization(loss=loss, sampler="nearest").fit(small)
    with pytest.raises(ValueError, match="needs item features"):
        tr.MLPMatcher(sampler="nearest").fit(small)
    for kind in (tr.MatrixFactorization, tr.MLPMatcher):
        with pytest.raises(TypeError, match="choose of a sampler must be a part .*'odd'"):
            kind(sampler=sampling.Sampler("mine", True, choose="odd")).fit(small)
        with pytest.raises(ValueError, match="n_candidates must be an integer >= 1, got 0"):
            kind(sampler=sampling.dynamic()._replace(n_candidates=0)).fit(small)


@pytest.mark.parametrize("loss", ["warp", "k-os warp"])
def test_losses_that_search_draw_for_themselves(loss, small):
    others = ~small.tocsr().toarray().astype(bool)
    message = f"loss '{loss}' searches for its negatives among sampled items: .*, got "
    for sampler in ("dynamic", "semi_hard", "explicit"):
        with pytest.raises(ValueError, match=message + f"sampler '{sampler}': use a loss such as"):
            tr.MatrixFactorization(loss=loss, sampler=sampler).fit(small)
    with pytest.raises(ValueError, match=message + "the argument negatives of fit: use a loss"):
        tr.MatrixFactorization(loss=loss).fit(small, negatives=others)
    for kind in (tr.MLPMatcher, tr.TwoTower):
        with pytest.raises(
            ValueError, match=f"loss '{loss}' searches for its negatives, which this"
        ):
            kind(loss=loss).fit(small)


def test_where_values_are_not_compared(small):
    others = ~small.tocsr().toarray().astype(bool)
    for loss in ("softmax", "ccl", "warp"):
        with pytest.raises(
            ValueError, match=f"'graded' takes negatives .* own items, loss '{loss}'"
        ):
            tr.MatrixFactorization(loss=loss, sampler="graded").fit(small)
    with pytest.raises(
        ValueError, match="sampler 'graded' .* takes none from the argument negatives"
    ):
        tr.MatrixFactorization(sampler="graded").fit(small, negatives=others)
    with pytest.raises(ValueError, match="must not have by_value and choose or by_features"):
        sampler = sampling.dynamic()._replace(by_value=True)
        tr.MatrixFactorization(sampler=sampler).fit(small)
    for kind in (tr.MLPMatcher, tr.TwoTower):
        with pytest.raises(
            ValueError, match="sampler 'graded' compares values .* MatrixFactorization"
        ):
            kind(sampler="graded").fit(small)


def test_without_grades_all_negatives_are_unseen(small):
    """A warning, and the bits of a fit that does not ask for them."""
    plain = tr.MatrixFactorization(4, n_epochs=1, user_l2=0.05).fit(small)
    with pytest.warns(
        UserWarning, match="sampler 'graded' finds no user with two items of different"
    ):
        graded = tr.MatrixFactorization(4, n_epochs=1, sampler="graded").fit(small)
    np.testing.assert_array_equal(graded.user_factors_, plain.user_factors_)


@pytest.mark.parametrize("kind", [tr.MLPMatcher, tr.TwoTower, tr.MatrixFactorization])
@pytest.mark.parametrize("sampler", ["dynamic", "semi_hard"])
def test_a_share_of_the_negatives_chosen_is_given(kind, sampler, small):
    others = ~small.tocsr().toarray().astype(bool)
    named = sampling.HARD_SAMPLERS[sampler]()
    fits = [
        kind(n_epochs=1, sampler=each).fit(small, negatives=others).item_factors_.tobytes()
        for each in (sampler, named._replace(share=0.1), named._replace(share=0.6))
    ]
    assert fits[0] == fits[1] != fits[2]
    plain, without = (
        kind(n_epochs=1, sampler=sampler).fit(small, negatives=given).item_factors_
        for given in (None, 0.0 * others)
    )
    np.testing.assert_array_equal(without, plain)
    with pytest.raises(ValueError, match=f"sampler '{sampler}' takes negatives from .* missing"):
        kind(sampler=named._replace(share=0.5)).fit(small)


# -------------------------------------------------------------------- nothing to learn


@pytest.mark.parametrize("kind", [tr.MLPMatcher, tr.TwoTower, tr.MatrixFactorization])
@pytest.mark.parametrize("shape", quick([(5, 4), (1, 1), (7, 1)], (5, 4)))
def test_data_without_a_negative_is_told(kind, shape):
    names = ["bpr"] if kind is tr.MLPMatcher else ["bpr", "softmax"]
    for loss in names:
        for sampler in ("unseen", "uniform", "popularity"):
            model = kind(n_epochs=2, loss=loss, sampler=sampler)
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                model.fit(np.ones(shape))
            said = [str(each.message) for each in caught]
            assert "there is nothing to learn, for no user has an item" in said[-1]
            assert {each.filename for each in caught} == {__file__}
            assert np.isfinite(model.predict(0, 0))


def test_whether_there_are_negatives():
    data = tr.Interactions([[1, 1, 0], [0, 0, 0], [1, 1, 0]])
    assert has_negatives(data, None, only_used=False)
    assert not has_negatives(data, None, only_used=True)
    for given, useful in (
        ([[0, 0, 1], [0, 0, 0], [0, 0, 0]], True),
        ([[0] * 3, [0, 0, 1], [0] * 3], False),
    ):
        negatives = tr.Interactions(given)
        assert has_negatives(data, negatives, only_used=True) == useful
    assert not has_negatives(tr.Interactions(np.ones((3, 2))), None, only_used=False)


def test_users_who_like_everything_are_left_out_silently(small):
    dense = small.tocsr().toarray()
    dense[3] = 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", "the training loss has not moved for an epoch")
        model = make().fit(dense)
    assert model.history_[0]["n_skipped"] == 40


# -------------------------------------------------------------------- parts of the user's own


def returns_text(x, parameters):
    return "a"


@tr.part
def makes_a_list(x, parameters):
    return float(len([x, x]))


@pytest.mark.parametrize("kind", [tr.MLPMatcher, tr.TwoTower, tr.MatrixFactorization])
def test_wrong_parts_are_refused_before_anything_is_compiled(kind, small):
    """And the model stays as it was; `part_checks` has tests of all that is said."""
    with pytest.raises(TypeError, match="loss 'mine': value must be a function .*, got None$"):
        kind(loss=losses.Loss("mine", None, losses.BPR.slope)).fit(small)
    with pytest.raises(
        TypeError, match="loss 'mine': slope must be .*returns_text, which is not marked"
    ):
        kind(loss=losses.Loss("mine", losses.BPR.value, returns_text)).fit(small)
    with pytest.raises(TypeError, match="optimizer 'sgd': step must be a function .*, got 3$"):
        kind(optimizer=tr.optimizers.SGD._replace(step=3)).fit(small)
    with pytest.raises(ValueError, match="optimizer 'adam': update must be .*IndexError: index"):
        kind(optimizer=tr.optimizers.adam()._replace(state=(0.0,))).fit(small)
    with pytest.raises(ValueError, match="schedule 'mine': shape must be .*, got nan at s = 0$"):
        kind(schedule=tr.rates.Schedule("mine", lambda s: math.nan)).fit(small)


@pytest.mark.parametrize(
    "kind", quick([tr.MLPMatcher, tr.TwoTower, tr.MatrixFactorization], tr.MLPMatcher)
)
def test_a_part_that_does_not_compile_is_named(kind, small):
    mine = losses.Loss("mine", losses.BPR.value, makes_a_list)
    message = (
        "loss 'mine': slope must be a function .*, but Numba cannot compile it: it makes an array"
    )
    with pytest.raises(TypeError, match=message) as caught:
        kind(loss=mine, n_epochs=1).fit(small)
    assert caught.value.__cause__ is not None
    assert len(str(caught.value)) < 400


def test_a_learning_rate_schedule_that_goes_wrong_later(small):
    wrong = tr.rates.Schedule("mine", lambda s: -1.0 if 0.6 < s < 0.9 else 1.0)
    with pytest.raises(ValueError, match="schedule 'mine': .* >= 0, got -1.0 at s = 0.8"):
        make(schedule=wrong).fit(small)
