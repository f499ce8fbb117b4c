"""Keys of the issuers: fetched in the background, held for the engine to read.

The only outbound network code of the service. ``KeyStore`` is what a service holds;
``load_keys`` makes one attempt and is what a check of the configuration uses.
"""

from .discovery import metadata_urls
from .fetch import Fetched, Fetcher, FetchError, FetchLimits
from .load import Loaded, load_keys
from .source import DiscoveryMode, IssuerSource
from .status import IssuerStatus, KeyInfo, KeyObserver, RefreshResult
from .store import KeyStore, Replacement

__all__ = [
    "DiscoveryMode",
    "FetchError",
    "FetchLimits",
    "Fetched",
    "Fetcher",
    "IssuerSource",
    "IssuerStatus",
    "KeyInfo",
    "KeyObserver",
    "KeyStore",
    "Loaded",
    "RefreshResult",
    "Replacement",
    "load_keys",
    "metadata_urls",
]
