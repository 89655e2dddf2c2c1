"""The study: what the recipe reaches, beside the product and not in it."""
