"""Growing the data set, comparing its states, and telling where it stands."""
