"""The engine: world models behind HTTP, one at a time for each model and many rollouts at once."""
