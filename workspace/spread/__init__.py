"""Spread: the seam between a step and where its work is done, in this process or over several machines."""
