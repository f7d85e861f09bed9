"""The lake itself: one ASGI application, served over TCP or embedded in the process that uses it."""
