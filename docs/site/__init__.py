"""The documentation site: pages of the repository and generated references, staged in build/docs for mkdocs.

`make docs` runs `python -m docs.site.stage` and then mkdocs (mkdocs.yml). GitHub and an editor show the same pages
where they stand; only their links are written anew for the site.
"""
