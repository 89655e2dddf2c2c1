"""Engines that run the same weights, for `benchmarks/predict.py`."""
