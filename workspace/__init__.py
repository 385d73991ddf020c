"""The core: settings, catalogue, files, and what every package needs of them. Imports nothing of ours.

Folders:
    config: workspace.toml as models, one file per section, its template, and the names that settings had before.
    catalog: the tables of the catalogue, and what they say of a class, an image, a failure or a decision.
    database: SQLite and PostgreSQL below the catalogue: addresses, errors in words, schema, lock.
    text: encodings of files, counts with their nouns, CSV, Markdown, and sentences about values that are refused.
    migrations: how the tables of an earlier version become today's.
    spread: shards of work, done in this process or over several machines.
    served: what `serve --api` leaves: counts of its answers, and pictures that it keeps.
    files: files by name, in the workspace's folder or in object storage.
    moving: moving a workspace's parts to another place and back.
    storage: the workspace folder: paths, runs, image files, cached arrays, models, the lock.
"""
