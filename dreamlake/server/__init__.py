"""The lake itself: one ASGI application, served over TCP or embedded in the process that uses it."""

import logging

# Embedded, it is a guest: what it logs is shown where the host configures logging, and nowhere else.
logging.getLogger(__name__).addHandler(logging.NullHandler())
