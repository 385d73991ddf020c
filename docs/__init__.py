"""The documentation: pages for people, and docs/site, which makes the site of them."""
