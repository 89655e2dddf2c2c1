"""What CI does when data, parameters or code change; every step runs on a laptop as well."""
