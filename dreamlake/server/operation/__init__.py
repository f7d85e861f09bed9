"""What whoever runs a server needs: logs, health, metrics, and limits on what clients may take of it."""
