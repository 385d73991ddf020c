"""The core: settings, catalogue, files, and what every package needs of them. Imports nothing of ours.

Folders:
    config: workspace.toml as models, one file per section, its template, and the names that settings had before.
    catalog: the tables of catalog.sqlite, and what they say of a class, an image, a failure or a decision.
    storage: the workspace folder: paths, runs, image files, cached arrays, models, the lock.
"""
