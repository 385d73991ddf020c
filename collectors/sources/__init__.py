"""The sources, one file each, and their registry.

Folders:
    apis: services with a documented API.
    html: pages that are read as HTML.
    local: files of this machine.
"""
