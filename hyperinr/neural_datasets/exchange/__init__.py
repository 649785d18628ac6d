"""Neural datasets in other formats. A format is one file and an entry in `formats`."""
