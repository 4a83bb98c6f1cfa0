"""Slow, obvious twins of what is done to tables of events: what the tests of the data compare with."""


def merged(events, duplicates):
    """One (value, time) per pair of events (user, item, value, time); a time may be None. No zeros."""
    pairs = {}
    for user, item, value, time in events:
        pairs.setdefault((user, item), []).append((value, time))
    result = {}
    for pair, rows in pairs.items():
        values, times = zip(*rows, strict=True)
        known = times[0] is not None
        earliest = min(rows, key=lambda row: row[1]) if known else rows[0]  # the first of equals
        latest = max(reversed(rows), key=lambda row: row[1]) if known else rows[-1]
        last = max(times) if known else None
        result[pair] = {
            "sum": (sum(values), last),
            "max": (max(values), last),
            "count": (len(rows), last),
            "last": latest,
            "first": earliest,
        }[duplicates]
    return {pair: row for pair, row in result.items() if row[0] != 0}


def filtered(entries, min_per_user, min_per_item, min_value, users, items):
    """The entries (user, item, value), users and items that are left, filtered until nothing changes."""
    entries = [each for each in entries if min_value is None or each[2] >= min_value]
    while True:
        kept_users = [u for u in users if sum(e[0] == u for e in entries) >= min_per_user]
        kept_items = [i for i in items if sum(e[1] == i for e in entries) >= min_per_item]
        left = [e for e in entries if e[0] in kept_users and e[1] in kept_items]
        if (left, kept_users, kept_items) == (entries, users, items):
            return entries, users, items
        entries, users, items = left, kept_users, kept_items


def percentile_ranks(rows, tested, left_out):
    """Of each of the tested rows, how many of the items that it does not have stand above the one left out.

    `rows` are sets of items, `left_out` has an item for each tested row. Items are ranked by the rows that
    share others; of equal ones half stand above.
    """
    rest = [set(row) for row in rows]
    for u, item in zip(tested, left_out, strict=True):
        rest[u].discard(item)
    items = sorted(set().union(*rows))
    n_users = {i: max(1, sum(i in row for row in rest)) for i in items}

    def score(u, j):
        return sum(
            sum(1 / n_users[i] for i in rest[u] & row) / max(1, len(row)) / n_users[j] ** 0.5
            for row in rest
            if j in row
        )

    found = []
    for u, item in zip(tested, left_out, strict=True):
        own = score(u, item)
        others = [score(u, j) for j in items if j not in rows[u]]
        above = sum(x > own + 1e-12 for x in others)
        equal = sum(abs(x - own) <= 1e-12 for x in others)
        found.append(max(above + equal / 2, 0.5) / len(others))
    return found


def rank_by_popularity(counts):
    """The mean share of other items that have more positives than an item, of which one is left out."""
    shares = []
    for i, n in enumerate(counts):
        others = [m for j, m in enumerate(counts) if j != i and m > 0]
        for _ in range(n):
            above = sum(1.0 if m > n - 1 else 0.5 if m == n - 1 else 0.0 for m in others)
            shares.append(above / len(others))
    return sum(shares) / len(shares)
