// A real authorization server, by others (oidc-provider), whose user says yes to everything.
//
//   node authorization_server.js free|bound PORT RESOURCE,… SCOPE…
//
// Dynamic registration (RFC 7591), resource indicators (RFC 8707), PKCE, refresh tokens and access
// tokens of RFC 9068. Scopes are granted as asked for and no further: what a client has is what it
// asked. A client that is "bound" may ask only for the scopes that it registered with.

import { generateKeyPairSync, randomUUID } from "node:crypto";
import { createServer } from "node:http";
import Provider, { errors } from "oidc-provider";

const [clients, port, list, ...scopes] = process.argv.slice(2);
const resources = list.split(",");
const issuer = `http://127.0.0.1:${port}`;

const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
const key = { ...privateKey.export({ format: "jwk" }), kid: randomUUID(), alg: "RS256", use: "sig" };

const provider = new Provider(issuer, {
  jwks: { keys: [key] },
  scopes: ["openid", "offline_access", ...scopes],
  cookies: { keys: [randomUUID()] },
  findAccount: (ctx, accountId) => ({ accountId, claims: () => ({ sub: accountId }) }),
  interactions: { url: (ctx, interaction) => `/interaction/${interaction.uid}` },
  ttl: { AccessToken: 600, AuthorizationCode: 60, Grant: 600, Interaction: 60, Session: 600 },
  // A client registers with the scopes of its first challenge, and asks for more later.
  extraClientMetadata: {
    properties: ["registered_scope"],
    validator: (ctx, name, value, metadata) => clients === "bound" || delete metadata.scope,
  },
  issueRefreshToken: (ctx, client) => client.grantTypeAllowed("refresh_token"),
  features: {
    devInteractions: { enabled: false },
    registration: { enabled: true },
    resourceIndicators: {
      enabled: true,
      useGrantedResource: () => true,
      getResourceServerInfo(ctx, indicator) {
        if (!resources.includes(indicator)) throw new errors.InvalidTarget();
        return {
          audience: indicator,
          scope: scopes.join(" "),
          accessTokenFormat: "jwt",
          jwt: { sign: { alg: "RS256" } },
        };
      },
    },
  },
});

async function agree(request, response) {
  const { prompt, params, session } = await provider.interactionDetails(request, response);
  if (prompt.name === "login") {
    await provider.interactionFinished(request, response, { login: { accountId: "alice" } });
    return;
  }
  const grant = new provider.Grant({ accountId: session.accountId, clientId: params.client_id });
  grant.addOIDCScope(["openid", "offline_access", ...scopes].join(" "));
  grant.addResourceScope(params.resource, params.scope ?? "");
  const consent = { grantId: await grant.save() };
  await provider.interactionFinished(request, response, { consent }, { mergeWithLastSubmission: true });
}

const answer = provider.callback();
createServer((request, response) => {
  if (!request.url.startsWith("/interaction/")) return answer(request, response);
  agree(request, response).catch((error) => response.writeHead(500).end(String(error)));
}).listen(port, "127.0.0.1");
