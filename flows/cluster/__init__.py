"""Shards of a step on several machines: handing them out, doing lost ones again, and the engines that run them."""
