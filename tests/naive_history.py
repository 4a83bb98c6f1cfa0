"""Naive twin of users who are mixes of a row and their history: loops, float64, numerical derivatives."""

import numpy as np

import naive


def unit(row, cosine):
    length = np.linalg.norm(row)
    return row / length if cosine and length > 0 else row


def mixed_user(own, items, share, cosine):
    """Return the row of a user: `items` are those of the history; `own` is None for one without."""
    past = sum((unit(row, cosine) for row in items), np.zeros(items.shape[1])) / max(1, len(items))
    past = unit(past, cosine)
    if own is None:
        return past
    return unit((1 - share) * unit(own, cosine) + share * past, cosine)


class HistoryTwin(naive.ListwiseTwin):
    """`naive.ListwiseTwin` whose users are mixes; `kept` and `alone` say what is left out of a batch."""

    def __init__(self, share, *arguments):
        super().__init__(*arguments)
        self.share, self.kept, self.alone = share, {}, set()

    def mixed(self, arrays, users):
        cosine = self.plan.scorer.name == "cosine"
        return {
            u: mixed_user(
                None if u in self.alone else arrays[0][u], arrays[1][self.kept[u]], self.share, cosine
            )
            for u in users
        }  # fmt: skip

    def learn_from(self, users, importance):
        plan, arrays = self.plan, self.factors()
        loss, cosine = plan.loss, plan.scorer.name == "cosine"

        def objective(l2=plan.l2):
            U, V, b = arrays
            P = U.copy()
            for u, row in self.mixed(arrays, users).items():
                P[u] = row
            total = naive.batch_loss(
                P, V, b[:, 0], users, self.liked, self.weights, importance, loss, cosine,
                plan.sampler.verified, (0.0, *l2[1:]), self.given, plan.sampler.share,
            )  # fmt: skip
            return total + sum(
                0.5 * self.weights[u].sum() * l2[0] * U[u] @ U[u]
                for u in users
                if u not in self.alone
            )

        value = objective((0, 0, 0, 0))
        gradients = [naive.slopes(objective, array) for array in arrays]
        own = [u for u in users if u not in self.alone and self.share < 1.0]
        items = {*importance, *(i for u in users for i in self.liked[u])}
        for rows, gradient, numbers in zip(self.rows, gradients, (own, items, items), strict=True):
            for number in numbers:
                rows[number].update(gradient[number])
        return value
