"""Files to a data set: the steps clean, curate and split.

Folders:
    images: decoding in isolated worker processes, colour, the pixel cache.
    quality: statistics of an image, and the checks that judge by them.
    duplicates: perceptual hashes, their search, registration, groups of copies.
    curation: outliers, label errors and clusters, from features.
    dataset: groups, stratified splits, export for other libraries, which runs use an image.
"""
