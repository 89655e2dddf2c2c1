"""Where images come from, what they are and how they are split."""
