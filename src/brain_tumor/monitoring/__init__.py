"""A registered model against images that came later."""
