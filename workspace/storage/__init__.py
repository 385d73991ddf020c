"""The workspace folder: paths, runs, image files, cached arrays, models, the lock.

Folders:
    location: where the catalogue is, in the folder or in a database elsewhere, and how it moves.
"""
