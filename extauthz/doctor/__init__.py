"""Walks a live edge as an MCP client does, attacks it as an intruder would, and says what to mend.

Everything is asked from outside. No tool of an MCP server is ever called but the one that
``--echo-tool`` names, and names that end in ``extauthz_doctor``, which nobody has.
"""
