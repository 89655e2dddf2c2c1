"""A registered model on labelled images that had no part in its making."""
