"""What the images are, and whether they can be trusted."""
