"""The only importer of mlflow: runs, lineage, registered models; a leaf below the registry."""
