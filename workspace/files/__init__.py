"""Where originals, finished runs and models lie: the workspace's folder, or object storage; one seam for both."""
