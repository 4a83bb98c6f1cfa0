"""A loss of the script's own, in processes that get it by value."""

import json
import math

import joblib

import tripletrec as tr

SHARPNESS = 1.5


@tr.part
def softened(x):
    return math.exp(-SHARPNESS * x)


@tr.part
def value(x, parameters):
    return math.log1p(softened(x))


@tr.part
def slope(x, parameters):
    e = softened(x)
    return -SHARPNESS * e / (1.0 + e)


LOSS = tr.losses.Loss("mine", value, slope)


def fit(seed):
    data = tr.datasets.make_interactions(20, 15, 80, random_state=1)
    model = tr.MatrixFactorization(n_factors=2, n_epochs=2, loss=LOSS, n_jobs=1, random_state=seed)
    return model.fit(data).user_factors_.tolist()


if __name__ == "__main__":
    at_once = joblib.Parallel(n_jobs=2)(joblib.delayed(fit)(seed) for seed in range(3))
    print(json.dumps([[fit(seed) for seed in range(3)], at_once]))
