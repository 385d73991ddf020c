"""Sources with a documented API."""
