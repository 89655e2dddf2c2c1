"""`brain-tumor ...`: what DVC and MLflow do not already do."""
