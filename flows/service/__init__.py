"""Flows that look after a service, by what it leaves in its workspace."""
