"""Downloads: each file is checked by its checksum, and nothing else is taken."""
