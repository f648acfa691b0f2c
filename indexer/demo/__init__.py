"""Draws the pictures of the demo library."""
