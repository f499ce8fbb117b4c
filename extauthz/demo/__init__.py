"""``extauthz demo``: an OAuth issuer, two MCP servers and an Envoy on loopback.

Nothing here is meant for production, and nothing outside this package depends on it but
the command line and the tests, which use `extauthz.demo.issuer.Issuer` as their issuer.
"""
