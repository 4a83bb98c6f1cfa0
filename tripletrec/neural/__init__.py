"""Mini-batch training of layers with hand-derived gradients: NumPy, BLAS and a few kernels.

Unlike the triplet-by-triplet loop of the factor models, every gradient of a batch is taken at the
same weights, and one step of the optimizer then moves every weight, as in Keras, or all but
the factors that the batch does not meet.

================ =======================================================================
module           what it holds
================ =======================================================================
``embedding``    a table of rows looked up by number, and its gradient
``features``     a table of factors of features, summed or concatenated for sparse rows
``layers``       dense, ReLU, softmax, normalise, dropout
``stack``        layers one after the other, as one compiled pass
``triplets``     losses and scorers on whole batches; the triplet model of two tables
``drawing``      the package's samplers on batches
``networks``     perceptron on the factors of user and item; two towers
``optimizers``   dense SGD, Adagrad and Adam
``rows``         the package's optimizers on rows of tables
``training``     one epoch: shuffle, cut into batches, step
``fitting``      the state of one fit of a network
``in_batch``     the list-wise losses for two towers: the items of a batch are candidates
================ =======================================================================
"""

from tripletrec.neural.embedding import Embedding
from tripletrec.neural.features import FeatureEmbedding
from tripletrec.neural.layers import Dense, Dropout, Layer, Normalize, ReLU, Softmax
from tripletrec.neural.optimizers import SGD, Adagrad, Adam, Optimizer
from tripletrec.neural.stack import Stack
from tripletrec.neural.training import train_epoch
from tripletrec.neural.triplets import TripletModel

__all__ = [
    "SGD",
    "Adagrad",
    "Adam",
    "Dense",
    "Dropout",
    "Embedding",
    "FeatureEmbedding",
    "Layer",
    "Normalize",
    "Optimizer",
    "ReLU",
    "Softmax",
    "Stack",
    "TripletModel",
    "train_epoch",
]
