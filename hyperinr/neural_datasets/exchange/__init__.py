"""Neural datasets in the formats of others: one file a format, and an entry in `formats`."""
