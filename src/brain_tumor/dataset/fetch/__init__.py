"""Where the data folder comes from."""
