"""What the service tells its operators: metrics, decision lines, counts of the last minutes.

Reads decisions and changes none. ``metrics`` and ``recent`` count, ``decision_log`` says who
asked for what, ``log_pipe`` writes lines without ever holding up the event loop.
"""
