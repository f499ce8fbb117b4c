package envoy.authz

import rego.v1

keys := `@KEYS@`

bearer := trim_prefix(input.attributes.request.http.headers.authorization, "Bearer ")

verified := io.jwt.decode_verify(bearer, {
	"cert": keys,
	"alg": "RS256",
	"iss": "@ISSUER@",
	"aud": "@AUDIENCE@",
})

claims := verified[2]

default allow := false

allow if {
	verified[0]
	"mcp.read" in split(claims.scope, " ")
}

result := {"allowed": true, "headers": {
	"x-auth-subject": claims.sub,
	"x-auth-client-id": claims.client_id,
	"x-auth-token-id": claims.jti,
}} if allow

else := {"allowed": false}
