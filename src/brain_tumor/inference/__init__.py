"""Raw image bytes to the probability of a tumour."""
