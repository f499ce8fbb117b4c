"""The doors: each proxy's words turned into a ``Request``, and decisions into its words.

Translation (``envoy``, ``forward_auth``, ``http_reply``) is pure; the servers around it are
``grpcio_door``, ``native_door``, ``http_door`` and ``http_server``.
"""
