"""Experiment-tracked InceptionV3 classification of brain MRI slices (research only)."""
