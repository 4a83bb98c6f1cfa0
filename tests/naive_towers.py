"""What histories of users are to two towers, written to be read; list-wise losses are in `naive`."""

import math

MASK = 2**64 - 1


def mixed(z):
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & MASK
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB & MASK
    return z ^ (z >> 31)


def bits(key, counter):
    return mixed((key + counter * 0x9E3779B97F4A7C15) & MASK)


def uniform_of(key, user, item):
    """The random number that decides whether an item stays in a history: of the pair and the batch alone."""
    stream = bits(bits(key, user + 1), 0)
    return (bits(stream, item) >> 11) / 2**53


def thinned(key, user, history, positives, dropout):
    """What stays in a history: not the user's positives in the batch, and others with chance 1 - dropout.

    Of a long history 1,024 items are expected to stay.
    """
    others = [item for item in history if item not in positives]
    left_out = max(dropout, 1 - 1024 / max(1, len(history)))
    return [item for item in others if uniform_of(key, user, item) >= left_out]


def unit(vector):
    length = math.sqrt(sum(x * x for x in vector))
    return [x / length if length else 0.0 for x in vector]


def mix(a, V, history, share, units):
    """The vector of a user with tower output `a`, whose history is a list of rows of V."""
    mean = [sum(V[i][k] for i in history) / max(1, len(history)) for k in range(len(a))]
    if units:
        mean = unit(mean)
    z = [(1 - share) * x + share * y for x, y in zip(a, mean, strict=True)]
    return unit(z) if units else z


def order_in_groups(sizes, batch_size, random):
    """The pairs of an epoch, in which pairs of one user come together; user u has ``sizes[u]`` of them."""
    places, first = [], 0
    for size in sizes:
        most = max(1, min(8, batch_size // 32, size // 6))
        n_groups = math.ceil(size / most)
        own = list(range(first, first + size))
        ends = [n * size // n_groups for n in range(n_groups + 1)] if n_groups else [0]
        places += [own[a:b] for a, b in zip(ends, ends[1:], strict=False)]
        first += size
    shuffled = random.permutation(first).tolist()
    if len(places) == first:
        return shuffled
    users = [user for user, size in enumerate(sizes) for _ in range(size)]
    # Stable: a user's pairs stay as shuffled.
    dealt = sorted(shuffled, key=lambda pair: users[pair])
    return [dealt[place] for group in random.permutation(len(places)) for place in places[group]]
