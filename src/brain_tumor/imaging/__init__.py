"""Decode, normalise to the atlas, crop and augment; records on disk."""
