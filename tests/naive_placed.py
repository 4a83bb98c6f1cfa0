"""Given negatives in place of candidates as they are meant: one triplet at a time."""

import naive


def placed(key, stratum, pairs, given, block_of, block, n_tries, chance, n_negatives):
    """For each pair of a stratum and each of its negatives the given item that is placed, or None.

    `given` are the given negatives by user, `block_of` the block of each item, `block` that of the stratum.
    """
    stream, found = naive.derive(key, stratum), []
    for t, (user, _) in enumerate(pairs):
        for c in range(n_negatives):
            tries, own = naive.derive(stream, t * n_negatives + c), given[user]
            drawn = [
                own[naive.below(tries, 2 * x + 1, len(own))]
                for x in range(n_tries)
                if own and naive.uniform(tries, 2 * x) < chance
            ]
            inside = [item for item in drawn if block_of[item] == block]
            found.append(inside[0] if inside else None)
    return found
