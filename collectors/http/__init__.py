"""collectors.http."""
