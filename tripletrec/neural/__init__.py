"""Networks learnt in batches with hand-derived gradients; the models made of them are in `models`.

Unlike the triplet-by-triplet loop of the factor models, every gradient of a batch is taken at the
same weights, and one step of the optimizer then moves every weight, or all but the factors that the
batch does not meet.

================= =======================================================================
module            what it holds
================= =======================================================================
``layers``        dense, ReLU, softmax, normalise, dropout
``stack``         layers one after the other, as one compiled pass
``features``      a table of factors of features, summed or concatenated for sparse rows
``networks``      perceptron on the factors of user and item; two towers
``fit``           the state of one fit of a network
``triplet``       fits by losses of triplets
``listwise``      fits by list-wise losses: the items of a batch are candidates of all its users
``negatives``     the package's samplers on batches
``nearest``       negatives whose features are nearest to the positive's
``row_optimizer`` the package's optimizers on rows of tables
``pair_scores``   scores of all items by a perceptron
================= =======================================================================
"""

from tripletrec.neural.features import FeatureEmbedding
from tripletrec.neural.layers import Dense, Dropout, Layer, Normalize, ReLU, Softmax
from tripletrec.neural.stack import Stack

__all__ = ["Dense", "Dropout", "FeatureEmbedding", "Layer", "Normalize", "ReLU", "Softmax", "Stack"]
