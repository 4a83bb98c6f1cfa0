"""Slow, obvious twins of the kernels: what the tests compare with."""

import itertools
import math

import numpy as np

# --------------------------------------------------------------------------------------
# Evaluation and ranking: of one user, by sorting and by comparing all pairs
# --------------------------------------------------------------------------------------


def ranking(scores, left_out=(), chosen=None):
    """Items by falling score, then by rising number."""
    items = range(len(scores)) if chosen is None else chosen
    return sorted(set(items) - set(left_out), key=lambda i: (-scores[i], i))


def outranking(scores, positives, left_out=()):
    """For each positive: how many others score higher, and how many the same."""
    others = [set(range(len(scores))) - set(left_out) - {p} for p in positives]
    return [
        (sum(scores[i] > scores[p] for i in rest), sum(scores[i] == scores[p] for i in rest))
        for p, rest in zip(positives, others, strict=True)
    ]


def auc(scores, positives, left_out=()):
    """Share of (positive, negative) pairs in the right order, a tie counting one half."""
    positives = set(positives) - set(left_out)
    negatives = set(range(len(scores))) - positives - set(left_out)
    if not negatives:
        return math.nan
    wins = sum((scores[i] > scores[j]) + 0.5 * (scores[i] == scores[j])
               for i in positives for j in negatives)  # fmt: skip
    return wins / (len(positives) * len(negatives))


def metrics(scores, positives, left_out, cutoffs):
    """All columns of `evaluate`, for one user: means over all orders of candidates with equal scores."""
    positives = set(positives) - set(left_out)
    rows = [metrics_of_list(each, cutoffs) for each in orders(scores, positives, left_out)]
    row = {name: sum(each[name] for each in rows) / len(rows) for name in rows[0]}
    return {"auc": auc(scores, positives, left_out), **row}


def orders(scores, positives, left_out=()):
    """All rankings that the scores allow, each as likely as any other: for each place, is it a positive?"""
    groups = {}
    for item in ranking(scores, left_out):
        groups.setdefault(scores[item], []).append(item in positives)
    # Which places of a group are positives is all that counts.
    choices = [
        [
            [place in hits for place in range(len(group))]
            for hits in itertools.combinations(range(len(group)), sum(group))
        ]
        for group in groups.values()
    ]
    return [list(itertools.chain(*each)) for each in itertools.product(*choices)]


def metrics_of_list(ranked, cutoffs):
    """All columns of `evaluate` but AUC, of one ranking: for each place, is it a positive?"""
    row, n_positives = {"mrr": 1 / (1 + ranked.index(True))}, sum(ranked)
    for k in cutoffs:
        top = ranked[:k]
        n_ideal = min(k, n_positives)
        gains = sum(1 / math.log2(place + 2) for place, hit in enumerate(top) if hit)
        ideal = sum(1 / math.log2(place + 2) for place in range(n_ideal))
        precisions = [sum(top[: place + 1]) / (place + 1) for place, hit in enumerate(top) if hit]
        row[f"precision@{k}"] = sum(top) / k
        row[f"recall@{k}"] = sum(top) / n_positives
        row[f"ndcg@{k}"] = gains / ideal
        row[f"map@{k}"] = sum(precisions) / n_ideal
        row[f"hit_rate@{k}"] = float(any(top))
    return row


# --- Training -----------------------------------------------------------------------------------


def logistic(x):
    return 1.0 / (1.0 + math.exp(-x))


LOSSES = {
    "bpr": lambda x: (-math.log(logistic(x)), logistic(x) - 1.0),
    "sigmoid": lambda x: (1.0 - logistic(x), -logistic(x) * (1.0 - logistic(x))),
    "hinge": lambda x: (max(0.0, 1.0 - x), -1.0 if x < 1.0 else 0.0),
}


def score_and_gradients(scorer, a, b):
    """Score of user row a and item row b, and its gradients by a and by b."""
    if scorer == "dot":
        return a @ b, b, a
    na, nb = np.linalg.norm(a), np.linalg.norm(b)
    s = a @ b / (na * nb)
    return s, b / (na * nb) - s * a / na**2, a / (na * nb) - s * b / nb**2


class Row:
    """One parameter array with an optimizer of its own."""

    def __init__(self, weights, optimizer, learning_rate):
        self.w = np.array(weights, dtype=np.float64)
        self.optimizer, self.rate, self.t = optimizer, learning_rate, 0
        self.h = np.full_like(self.w, 0.1)
        self.m, self.v = np.zeros_like(self.w), np.zeros_like(self.w)

    def update(self, g):
        self.t += 1
        if self.optimizer == "sgd":
            self.w -= self.rate * g
        elif self.optimizer == "adagrad":
            self.h += g**2
            self.w -= self.rate * g / np.sqrt(self.h)
        else:
            self.m = 0.9 * self.m + 0.1 * g
            self.v = 0.999 * self.v + 0.001 * g**2
            rate = self.rate * math.sqrt(1 - 0.999**self.t) / (1 - 0.9**self.t)
            self.w -= rate * self.m / (np.sqrt(self.v) + 1e-7)


def coefficients(scorer, a, b):
    """p, q, r of the gradients p b - q a by user row a and p a - r b by item row b, and the score."""
    if scorer == "dot":
        return 1.0, 0.0, 0.0, a @ b
    norms = np.linalg.norm(a) * np.linalg.norm(b)
    s = a @ b / norms
    return 1 / norms, s / (a @ a), s / (b @ b), s


def learn(
    triplets, weights, U, V, b, loss, scorer, optimizer, learning_rate, l2, item_bias=True, choose=None,
    groups=None, learn_items=True,
):  # fmt: skip
    """Visit triplets (u, i, j) in order; return new U, V, b and the sum of weighted losses.

    With `choose`, one of `HARD`: (u, i, candidates ...), and None where two scores that are compared are so
    near that rounding may tell which is higher. Triplets of one of the `groups`, a number for each, default:
    all of their own, see the same parameters in all but the rows that they add up.
    """
    users = [Row(row, optimizer, learning_rate) for row in U]
    items = [Row(row, optimizer, learning_rate) for row in V]
    biases = [Row([x], optimizer, learning_rate) for x in b]
    total = 0.0
    groups = range(len(triplets)) if groups is None else groups
    for _, members in itertools.groupby(range(len(triplets)), lambda t: groups[t]):
        ready = []
        for t in members:
            (u, i, *drawn), weight = triplets[t], weights[t]
            j = drawn[0]
            if choose is not None:
                scores = {
                    item: coefficients(scorer, users[u].w, items[item].w)[3] + biases[item].w[0]
                    for item in {i, *drawn}
                }
                if np.diff(sorted(scores.values())).min(initial=1.0) < 1e-3:
                    return None
                j = hard_negative(drawn, i, scores, choose)
            if j < 0 or i == j:
                continue
            p_i, q_ui, r_i, s_i = coefficients(scorer, users[u].w, items[i].w)
            p_j, q_uj, r_j, s_j = coefficients(scorer, users[u].w, items[j].w)
            value, slope = LOSSES[loss](s_i + biases[i].w[0] - s_j - biases[j].w[0])
            total += weight * value
            ready.append((u, i, j, weight, slope, (p_i, p_j, q_ui - q_uj, r_i, r_j)))
        for u, i, j, weight, slope, (p_i, p_j, q_u, r_i, r_j) in ready:
            a, p, q = users[u].w.copy(), items[i].w.copy(), items[j].w.copy()
            users[u].update(weight * (slope * (p_i * p - p_j * q - q_u * a) + l2[0] * a))
            if not learn_items:
                continue
            items[i].update(weight * (slope * (p_i * a - r_i * p) + l2[1] * p))
            items[j].update(weight * (-slope * (p_j * a - r_j * q) + l2[2] * q))
            if item_bias:
                biases[i].update(weight * (slope + l2[3] * biases[i].w))
                biases[j].update(weight * (-slope + l2[3] * biases[j].w))
    return (
        *(np.array([row.w for row in rows]) for rows in (users, items)),
        np.array([row.w[0] for row in biases]),
        total,
    )


# --- Hard negatives -----------------------------------------------------------------------------


def hardest(scores, positive_score):
    """Place of the highest score, of equals the first."""
    return max(range(len(scores)), key=lambda c: scores[c])


def semi_hard(scores, positive_score):
    """Place of the highest score below the positive's, or else of the lowest."""
    below = [c for c in range(len(scores)) if scores[c] < positive_score]
    if not below:
        return min(range(len(scores)), key=lambda c: scores[c])
    return max(below, key=lambda c: scores[c])


def easiest(scores, positive_score):
    """Place of the lowest score: what nobody wants but a test."""
    return min(range(len(scores)), key=lambda c: scores[c])


HARD = {"hardest": hardest, "semi_hard": semi_hard, "easiest": easiest}


def hard_negative(candidates, positive, scores, choose):
    """The candidate that one of `HARD` chooses, -1 if none is a negative; `scores` by item."""
    negatives = [j for j in candidates if j >= 0 and j != positive]
    if not negatives:
        return -1
    return negatives[choose([scores[j] for j in negatives], scores[positive])]


# --- Random numbers -----------------------------------------------------------------------------


def bits(key, counter):
    """SplitMix64 in whole numbers of any size."""
    full = 2**64 - 1
    z = (key + counter * 0x9E3779B97F4A7C15) & full
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & full
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & full
    return z ^ (z >> 31)


def derive(key, name):
    return bits(bits(key, name + 1), 0)


def uniform(key, counter):
    return (bits(key, counter) >> 11) / 2**53


def below(key, counter, n):
    return int(uniform(key, counter) * n)


# --- Mini-batches --------------------------------------------------------------------------------


def sgd_step(w, g, state, t, rate, l2):
    return w - rate * (g + 2 * l2 * w), []


def adagrad_step(w, g, state, t, rate, l2, epsilon):
    g = g + 2 * l2 * w
    h = state[0] + g * g
    return w - rate * g / math.sqrt(h + epsilon), [h]


def adam_step(w, g, state, t, rate, l2, beta1, beta2, epsilon):
    g = g + 2 * l2 * w
    m = beta1 * state[0] + (1 - beta1) * g
    v = beta2 * state[1] + (1 - beta2) * g * g
    rate = rate * math.sqrt(1 - beta2**t) / (1 - beta1**t)
    return w - rate * m / (math.sqrt(v) + epsilon), [m, v]


def mean_loss(triplets, U, V, loss, scorer, bias=0.0):
    total = 0.0
    for u, i, j in triplets:
        a = U[u] + bias
        if scorer == "cosine":
            x = sum(
                sign * a @ V[k] / math.sqrt(a @ a) / math.sqrt(V[k] @ V[k])
                for sign, k in ((1, i), (-1, j))
            )
        else:
            x = a @ V[i] - a @ V[j]
        value = max(0.0, 1.0 - x) if loss == "hinge" else 1.0 - 1.0 / (1.0 + math.exp(-x))
        total += value - 1.0 if loss == "negative_sigmoid" else value
    return total / len(triplets)


# --- List-wise losses ----------------------------------------------------------------------------


def list_loss(name, positives, weights, others, importance, n_unknown, temperature, parameters):
    """Loss of one user: scores of the positives, and for each positive those of its candidates."""
    total = sum(weights)
    if name == "softmax":
        return sum(
            -w * temperature * (x / temperature - math.log(
                math.exp(x / temperature)
                + sum(m * math.exp(y / temperature) for y, m in zip(o, ms, strict=True))
            ))
            for x, w, o, ms in zip(positives, weights, others, importance, strict=True)
        )  # fmt: skip
    if name == "bsl":
        if not others[0]:
            return 0.0
        hot = parameters[0] * temperature
        mass = sum(
            m * math.exp(y / temperature) for y, m in zip(others[0], importance[0], strict=True)
        )
        mean = sum(w * math.exp(x / hot) for x, w in zip(positives, weights, strict=True)) / total
        return total * (temperature * math.log(mass) - hot * math.log(mean))
    margin, weight = parameters
    mass = sum(m * max(0.0, y - margin) for y, m in zip(others[0], importance[0], strict=True))
    pull = sum(w * (1.0 - x) for x, w in zip(positives, weights, strict=True))
    return pull + total * weight / max(n_unknown, 1) * mass


def weigh_given(importance, given, share, n_items):
    """Importance of candidates to a user with these given negatives."""
    if not given:
        return importance
    factor = 1 + share / (1 - share) * n_items / len(given)
    return {j: m * (factor if j in given else 1.0) for j, m in importance.items()}


def batch_loss(
    U, V, b, users, liked, weights, importance, loss, cosine, masked, l2, given=None, share=0.0
):
    """Objective of one batch, float64; `liked`, `weights`, `given` by user, `importance` by candidate."""
    total = 0.0
    tau = loss.temperature

    def score(u, i):
        s = U[u] @ V[i]
        if cosine:
            s /= np.linalg.norm(U[u]) * np.linalg.norm(V[i])
        return s + tau * b[i]

    for u in users:
        others, weighed = [], weigh_given(importance, given and given[u], share, len(V))
        for p in liked[u]:
            hidden = set(liked[u]) if masked else {p} if loss.name == "softmax" else set()
            others.append([j for j in importance if j not in hidden])
        n_unknown = len(V) - (len(liked[u]) if masked else 0)
        scores = {i: score(u, i) for i in {*liked[u], *importance}}
        total += list_loss(
            loss.name,
            [scores[p] for p in liked[u]],
            weights[u],
            [[scores[j] for j in each] for each in others],
            [[weighed[j] for j in each] for each in others],
            n_unknown,
            tau,
            loss.parameters,
        )
        for p, w in zip(liked[u], weights[u], strict=True):
            total += (
                0.5 * w * (l2[0] * U[u] @ U[u] + l2[1] * V[p] @ V[p] + l2[3] * (tau * b[p]) ** 2)
            )
    return total + sum(0.5 * l2[2] * V[j] @ V[j] for j in importance)


class ListwiseTwin:
    """Learns from batches in float64, row by row, from numerical derivatives.

    `factors` are U, V, b at the start, with biases in units of the logit; `liked`, `weights` and `given` are
    by user.
    """

    def __init__(self, plan, factors, liked, weights, given=None):
        self.plan, self.liked, self.weights = plan, liked, weights
        self.given = given or [[] for _ in liked]
        name, rate = plan.optimizer.name, plan.learning_rate
        self.rows = [[Row(row, name, rate) for row in array] for array in factors]

    def factors(self):
        return [np.array([row.w for row in rows]) for rows in self.rows]

    def learn_from(self, users, importance):
        """Take a step on the users' loss against candidates, importance weights by item; return the loss."""
        plan, arrays = self.plan, self.factors()

        def objective(l2=plan.l2):
            U, V, b = arrays
            return batch_loss(
                U, V, b[:, 0], users, self.liked, self.weights, importance, plan.loss,
                plan.scorer.name == "cosine", plan.sampler.verified, l2, self.given, plan.sampler.share,
            )  # fmt: skip

        loss = objective((0, 0, 0, 0))
        gradients = [slopes(objective, array) for array in arrays]
        items = {*importance, *(i for u in users for i in self.liked[u])}
        for rows, gradient, numbers in zip(
            self.rows, gradients, (users, items, items), strict=True
        ):
            for number in numbers:
                rows[number].update(gradient[number])
        return loss


# --- List-wise losses on the batches of two towers -----------------------------------------------


def in_batch_importance(users, positives, drawn, liked, shares):
    """Importance weight of each item of a batch: its occurrences over the expected number of them."""
    n_pairs = sum(len(each) for each in liked)
    found = [*positives, *drawn]
    importance = {}
    for j in sorted(set(found)):
        others = (len(users) - 1) / max(1, n_pairs - 1) * sum(j in each for each in liked)
        expected = others + len(drawn) * shares[j]
        importance[j] = found.count(j) / (expected or 1.0)
    return importance


def in_batch_loss(
    A, V, b, users, positives, drawn, weights, liked, shares, loss, masked, given=None, share=0.0
):
    """Loss of one batch, float64: A and V are what towers give for users and items, b biases of items."""
    importance = in_batch_importance(users, positives, drawn, liked, shares)
    everything = set().union(*liked)  # items that nobody likes are no candidates
    n_items = len(everything)
    given = given and [everything.intersection(each) for each in given]
    total = 0.0

    def score(u, j):
        return A[u] @ V[j] + min(loss.temperature, 1.0) * b[j]

    for u in sorted(set(users)):
        batch = [t for t, each in enumerate(users) if each == u]
        hidden = liked[u] if masked else [positives[t] for t in batch]
        others = [j for j in importance if j not in hidden]
        weighed = weigh_given(importance, given and given[u], share, n_items)
        total += list_loss(
            loss.name,
            [score(u, positives[t]) for t in batch],
            [weights[t] for t in batch],
            [[score(u, j) for j in others]] * len(batch),
            [[weighed[j] for j in others]] * len(batch),
            n_items - (len(liked[u]) if masked else 0),
            loss.temperature,
            loss.parameters,
        )
    return total


def slopes(function, array, h=1e-6):
    """Central differences of a function of no argument by each entry of `array`."""
    result = np.zeros_like(array)
    for place in np.ndindex(array.shape):
        old = array[place]
        array[place] = old + h
        above = function()
        array[place] = old - h
        result[place] = (above - function()) / (2 * h)
        array[place] = old
    return result


# --- New users ------------------------------------------------------------------------------------


def triplets_of_history(history, n_items, least, drawn, order):
    """Triplets (0, i, j) of a pass: the history, repeated up to `least` items, in random order.

    `drawn` and `order` are streams, as whole numbers.
    """
    repeated = list(history) * -(-least // len(history))
    shuffled, stream = [], derive(order, 0)
    for t, item in enumerate(repeated):
        shuffled.append(item)
        place = below(stream, t, t + 1)
        shuffled[place], shuffled[t] = item, shuffled[place]
    triplets, stream = [], derive(drawn, 0)
    for t, item in enumerate(shuffled):
        negative, attempt = below(stream, t, n_items), 0
        while negative in history:
            attempt += 1
            negative = below(derive(stream, t), attempt, n_items)
        triplets.append((0, item, negative))
    return triplets


def gradient_at(loss, row):
    return slopes(lambda: loss(row), row, 1e-5)


def descend(start, loss, first, n_steps, sphere):
    """The row after steps down central differences, of the lengths of Barzilai and Borwein."""
    tried, lowest, length = start.copy(), math.inf, 0.0
    best = old = None
    for _ in range(n_steps):
        value, gradient = loss(tried), gradient_at(loss, tried)
        if sphere:
            gradient -= gradient @ tried * tried
        if value <= lowest:
            if best is None:
                length = first
            else:
                s, y = tried - best, gradient - old
                length = s @ s / (s @ y) if s @ y > 1e-8 * (s @ s) else length
            best, old, lowest = tried.copy(), gradient, value
        else:
            length /= 4
        tried = best - length * old
        if sphere:
            tried /= np.linalg.norm(tried)
    return best
