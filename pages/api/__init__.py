"""The HTTP service of `serve --api`: pictures or addresses in, answers out, within limits."""
