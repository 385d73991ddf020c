"""The JSON documents of the commands that have --json; their keys stay, new ones may be added.

The documentation's page of them is made from these files (docs/site/json_page.py).
"""
