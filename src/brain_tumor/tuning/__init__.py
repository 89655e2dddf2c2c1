"""The study that chooses what `train` leaves `tuned`: every trial is a run of the store."""
