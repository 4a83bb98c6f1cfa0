"""Mini-batch training of layers with hand-derived gradients: NumPy, BLAS and a few kernels.

Unlike the triplet-by-triplet loop of the factor models, every gradient of a batch is taken at the
same weights, and one step of the optimizer then moves *every* weight, as in Keras.

================ =======================================================================
module           what it holds
================ =======================================================================
``embedding``    a table of rows looked up by number, and its gradient
``triplets``     losses and scorers on whole batches; the triplet model of two tables
``optimizers``   dense SGD, Adagrad and Adam
``training``     one epoch: shuffle, cut into batches, step
================ =======================================================================
"""

from tripletrec.neural.embedding import Embedding
from tripletrec.neural.optimizers import SGD, Adagrad, Adam, Optimizer
from tripletrec.neural.training import train_epoch
from tripletrec.neural.triplets import TripletModel

__all__ = ["SGD", "Adagrad", "Adam", "Embedding", "Optimizer", "TripletModel", "train_epoch"]
