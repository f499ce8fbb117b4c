"""Recorded decisions against another file: who would gain and who would lose what.

``reading`` takes lines from files, ``record`` reads one line, ``stand_in`` mints a token that
says what the line says of the caller, ``question`` makes a request of the line, ``judge`` asks
the engine and compares, ``tally`` counts, ``report`` writes it down.
"""
