"""The phantom: labelled slices made from nothing but a seed."""
