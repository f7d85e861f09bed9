"""PyAV behind plain blocking functions over files and bytes: no network, no event loop, no lake."""
