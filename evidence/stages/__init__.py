"""One file per DVC stage of the study."""
