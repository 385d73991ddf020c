"""A trained model for other programs: the registry of formats, timm, and a repository for Hugging Face's hub.

Folders:
    devices: files for devices, each measured again by its own runtime.
"""
