"""The pure core: what is asked, what is demanded, what is decided.

Nothing here reads a clock, a socket, a file or the environment, writes a log or
knows protobuf. What a decision needs arrives as an argument.
"""
