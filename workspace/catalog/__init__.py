"""The catalogue: tables of what was found, fetched, seen and judged, and the questions asked of them."""
