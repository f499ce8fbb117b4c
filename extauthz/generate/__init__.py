"""Proxy configuration from the inventory: one plan, one writer for each proxy.

A value of the configuration never leaves its place in a written file: every language has
one module that quotes, and what cannot be quoted is refused (``CannotWrite``).
"""
