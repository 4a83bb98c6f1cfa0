"""Factors learnt from triplets or lists: plan, tables, strata, kernels, loop; estimators are in `models`."""

__all__: list[str] = []
