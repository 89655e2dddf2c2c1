"""What the reported evidence rests on: tracks, baselines, tested explanations, robustness."""
