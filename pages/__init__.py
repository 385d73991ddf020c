"""Local web pages: review images, try a model, on loopback behind a token; and the HTTP service of `serve --api`.

Folders:
    api: the service: uploads and addresses, limits, batching, metrics, the model that is live.
"""
