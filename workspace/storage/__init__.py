"""The workspace folder: paths, frozen runs, image files, cached arrays, model cards, the lock."""
