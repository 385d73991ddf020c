"""The data set: groups, stratified splits, export, and which runs use an image.

Folders:
    export: the dataset for other libraries, and the registry of its formats.
"""
