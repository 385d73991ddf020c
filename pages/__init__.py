"""Local web pages: review images, try a model. Served on loopback, behind a token."""
