"""Generated from ``proto/`` by ``make proto``: not edited, used by adapters only."""
