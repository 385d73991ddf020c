"""Commands on the images of a workspace: sources, retry, review, leaks, rename, forget."""
