"""Server faults on request."""
