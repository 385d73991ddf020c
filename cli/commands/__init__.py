"""The commands, one module for each or for a few that belong together.

Folders:
    images: commands on the images of a workspace.
    models: commands on trained models.
"""
