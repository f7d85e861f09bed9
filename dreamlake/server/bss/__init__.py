"""The storage service: it owns the bytes, their sidecars, chunks and playlists, and it dispatches lambdas."""
