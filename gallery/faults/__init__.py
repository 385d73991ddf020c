"""Misbehaviour on request: every way in which a server has been seen to fail its visitor."""
