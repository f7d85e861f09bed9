"""The catalog (the seeds' DreamLake Server): it owns names, and never touches storage."""
