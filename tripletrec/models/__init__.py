"""The estimators: parameters, fit, answers, files; the arithmetic of training and ranking is below."""

__all__: list[str] = []
