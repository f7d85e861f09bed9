"""The lambdas: plain functions over a storage and an asset, and the runner that executes them."""
