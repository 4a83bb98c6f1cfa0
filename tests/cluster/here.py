"""Tasks that are done at once, in this process."""


class Here:
    """See `tripletrec.cluster.shuffle.Tasks`."""

    n_workers = 2

    def submit(self, function, *arguments):
        return function(*arguments)

    def gather(self, results):
        return list(results)

    def started(self, pieces):
        return [each.compute() if hasattr(each, "compute") else each for each in pieces]

    def spread(self, value):
        return value
