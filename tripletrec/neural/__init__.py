"""Networks trained in batches with hand-derived gradients; the estimators made of them are in `models`.

Unlike the loop over single triplets that trains factor models, a batch computes all its gradients at the same
weights; one step of the optimizer then updates the factors that the batch touches and all other weights.

================= =======================================================================
module            what it holds
================= =======================================================================
``layers``        dense, ReLU, softmax, normalise, dropout
``stack``         layers one after the other
``stack_kernels`` their compiled passes over a batch
``features``      factors of features, summed or concatenated for sparse rows
``networks``      perceptron on the factors of user and item; two towers
``fit``           what fits by all losses share
``triplet``       fits by triplet losses
``triplet_parts`` scores, loss and gradients of a batch of triplets
``bare_towers``   two towers without layers: many batches in one compiled call
``listwise``      fits by list-wise losses: the items of a batch are candidates for all its users
``candidates``    candidates that are drawn for these batches, and how those of a batch weigh
``pairs``         which pairs come into a batch, each user and item in one place
``history``       users of towers who are partly their history
``negatives``     negatives of batches, by the package's samplers
``nearest``       negatives whose features are nearest to the positive's
``row_optimizer`` the package's optimizers on rows of tables
``fold_in``       new users of a perceptron
``explained``     what features explain of what towers have learnt
``pair_scores``   scores of all items by a perceptron
================= =======================================================================
"""

from tripletrec.neural.features import FeatureEmbedding
from tripletrec.neural.layers import Dense, Dropout, Layer, Normalize, ReLU, Softmax
from tripletrec.neural.stack import Stack

__all__ = ["Dense", "Dropout", "FeatureEmbedding", "Layer", "Normalize", "ReLU", "Softmax", "Stack"]
