"""extauthz: an external authorizer that puts OAuth 2.1 in front of MCP servers."""

__version__ = "0.1.0"
