"""The report and the model card: what is known of a model, for readers and for machines."""
