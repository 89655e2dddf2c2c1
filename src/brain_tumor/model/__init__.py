"""Network, initial weights, frozen-trunk features, fit, metrics."""
