"""K6: the model of the question, which does not learn, and the features of those that do."""

import numpy as np
import pandas as pd
from scipy.sparse import identity

from tripletrec.datasets import MovieLens
from tripletrec.neural import FeatureEmbedding
from tripletrec.reference.towers import MistakenTowers, feature_frames


def test_the_mistake_of_k6_does_not_learn_and_its_gradient_is_right():
    """Batch x batch scores behind softmax towers; the gradient is not what is wrong."""
    rng = np.random.default_rng(0)
    sides = [FeatureEmbedding(rng.normal(size=(n, 3)), identity(n, format="csr")) for n in (6, 9)]
    model = MistakenTowers(*sides, rng)
    batch = (rng.integers(0, 6, 8), rng.integers(0, 9, 8), rng.integers(0, 9, 8))
    losses = [model.backward(*batch) for _ in range(5)]
    assert np.ptp(losses) < 0.01 and abs(np.mean(losses) - 0.5) < 0.01


def test_features_of_the_corrected_models():
    users = pd.DataFrame(
        {
            "age": [24, 53],
            "gender": ["M", "F"],
            "occupation": ["other"] * 2,
            "zip_code": ["85711", "T8H"],
        }
    )
    items = pd.DataFrame(
        {"title": ["Se7en Days (1995)", "It's a Day"], "release_year": [1995, None]}
    )
    items["release_year"] = items["release_year"].astype("Int64")
    items["Drama"] = [0, 1]
    nothing = pd.DataFrame()
    of_users, of_items = feature_frames(MovieLens(None, None, nothing, users, items))
    assert of_users.columns.tolist() == ["age", "gender", "occupation", "region"]
    assert of_users["region"].tolist() == ["8", "T"]
    assert of_items.columns.tolist() == ["Drama", "year", "words"]
    assert of_items["year"].tolist()[0] == "1995" and of_items["year"].isna().tolist() == [
        False,
        True,
    ]
    assert of_items["words"].tolist() == [["days"], ["it's", "day"]]
