"""A model behind HTTP: an API and a page, with work done in processes that can be replaced."""
