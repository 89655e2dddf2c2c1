"""Whether new images are unlike those a registered model was made from."""
