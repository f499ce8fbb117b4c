"""People's settings: read from a file, the environment and flags, checked, compiled.

``load`` reads and checks, ``compile`` turns what it read into ``extauthz.core.policy``.
Nothing is imported here, since most commands need neither YAML nor pydantic.
"""
