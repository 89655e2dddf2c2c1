"""Search of hyperparameters: a shared, resumable Optuna study and what it found."""
