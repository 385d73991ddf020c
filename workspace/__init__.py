"""The core: config, paths, catalogue, records and errors. Imports nothing of ours."""
