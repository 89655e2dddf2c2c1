"""Decode, find the brain, crop and augment."""
