"""The folder of images: its check, copies, split, growth, and the phantom."""
