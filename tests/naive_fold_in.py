"""New users of a perceptron, in loops and float64: the twin of `tripletrec.neural.fold_in`."""

import numpy as np


def forward(x, layers, final_relu):
    """Return the inputs of each layer and the score, and how near a unit is to the bend of its ReLU."""
    inputs, nearest = [x], np.inf
    for number, (weights, bias) in enumerate(layers):
        x = x @ weights + bias
        if number < len(layers) - 1 or final_relu:
            nearest = min(nearest, np.abs(x).min())
            x = np.maximum(x, 0.0)
        inputs.append(x)
    return inputs, nearest


def gradient_of_inputs(inputs, layers, final_relu):
    """Return the gradient of the score by the inputs of the first layer."""
    gradient = np.ones(1)
    for number in reversed(range(len(layers))):
        if number < len(layers) - 1 or final_relu:
            gradient = gradient * (inputs[number + 1] > 0.0)
        gradient = layers[number][0] @ gradient
    return gradient


def learn_user(factors, layers, final_relu, slope, positives, negatives, l2, rates):
    """Return a user's row after a step of Adagrad for each table of candidates, and how near a bend it came.

    `negatives` are of shape (passes, positives, candidates): the highest scored one counts, and how near the
    next one comes. `slope` returns the slope and how near it is to a step.
    """
    n_factors = len(layers[0][0]) - factors.shape[1]
    row, state, nearest = np.zeros(n_factors), np.full(n_factors, 0.1), np.inf
    for drawn, rate in zip(negatives, rates, strict=True):
        total = len(positives) * l2 * row
        for i, candidates in zip(positives, drawn, strict=True):
            scored = [
                forward(np.append(row, factors[each]), layers, final_relu)
                for each in [i, *candidates[candidates >= 0]]
            ]
            if len(scored) == 1:
                continue
            (up, near_up), *others = scored
            scores = np.array([inputs[-1][0] for inputs, _ in others])
            down, near_down = others[scores.argmax()]
            # Of equal ones any counts: they are one item, or below the last ReLU.
            below = scores[scores != scores.max()]
            nearest = min([nearest, *(scores.max() - below)])
            g, near_step = slope(up[-1][0] - down[-1][0])
            nearest = min(nearest, near_up, near_down, near_step)
            for sign, inputs in ((1, up), (-1, down)):
                total += sign * g * gradient_of_inputs(inputs, layers, final_relu)[:n_factors]
        state += total**2
        row = row - rate * total / np.sqrt(state)
    return row, nearest
