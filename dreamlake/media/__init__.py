"""PyAV behind plain blocking functions over files, local and remote, and bytes: no event loop, no lake."""
