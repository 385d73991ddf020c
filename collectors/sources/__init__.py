"""The sources, one file each, their registry, and what they share.

Folders:
    apis: services with a documented API.
    html: web pages without an API.
    local: files of this machine.
"""
