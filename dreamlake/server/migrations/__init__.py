"""The history of the tables, applied in order when a lake is opened."""
