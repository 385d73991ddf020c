"""What `serve --api` leaves in a workspace: counts of its latest answers, and the pictures that it was told to keep."""
