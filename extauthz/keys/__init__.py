"""Keys of the issuers: fetched in the background, held for the engine to read.

The only outbound network code of the service. ``store.KeyStore`` is what a service holds;
``load.load_keys`` makes one attempt and is what a check of the configuration uses.
"""
