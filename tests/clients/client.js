// The TypeScript SDK's OAuth client: logs in, calls a tool, steps up, calls another.
//
//   node client.js v1|v2 legacy|auto URL authorization_code [refresh_token]
//
// Writes one line of JSON: what it did, as journey.py describes it.

const [sdk, mode, url, ...grants] = process.argv.slice(2);

const CALLBACK = "http://127.0.0.1:7/callback"; // nobody listens: the browser stops there

const traffic = [];
async function recording(input, init) {
  const response = await fetch(input, init);
  const request = new Request(input, { ...init, body: undefined });
  traffic.push({
    method: request.method,
    url: request.url,
    status: response.status,
    challenge: response.headers.get("www-authenticate"),
    version: request.headers.get("mcp-protocol-version"),
  });
  return response;
}

/** A browser whose user logs in and agrees: from the authorization URL to the callback's query. */
async function browse(start) {
  const jar = new Map();
  let next = start;
  while (!next.href.startsWith(CALLBACK)) {
    const cookie = [...jar].map((pair) => pair.join("=")).join("; ");
    const page = await fetch(next, { headers: { cookie }, redirect: "manual" });
    for (const line of page.headers.getSetCookie()) {
      const [name, value] = line.split(";")[0].split("=", 2);
      jar.set(name, value);
    }
    if (!page.headers.has("location")) throw new Error(`${page.status}: ${await page.text()}`);
    next = new URL(page.headers.get("location"), next);
  }
  return next.searchParams;
}

/** Keeps what the flow needs in memory (the SDK's OAuthClientProvider). */
class Credentials {
  authorizations = 0;
  redirectUrl = CALLBACK;
  clientMetadata = {
    client_name: "extauthz tests",
    redirect_uris: [CALLBACK],
    grant_types: grants,
    response_types: ["code"],
    token_endpoint_auth_method: "none",
  };
  clientInformation = () => this.client;
  saveClientInformation = (client) => { this.client = client; };
  tokens = () => this.token;
  saveTokens = (token) => { this.token = token; };
  codeVerifier = () => this.verifier;
  saveCodeVerifier = (verifier) => { this.verifier = verifier; };
  discoveryState = () => this.discovered;
  saveDiscoveryState = (state) => { this.discovered = state; };
  async redirectToAuthorization(start) {
    this.authorizations += 1;
    this.callback = await browse(start);
  }
}

const v1 = sdk === "v1";
const { Client } = await import(
  v1 ? "@modelcontextprotocol/sdk/client/index.js" : "@modelcontextprotocol/client");
const { StreamableHTTPClientTransport } = await import(
  v1 ? "@modelcontextprotocol/sdk/client/streamableHttp.js" : "@modelcontextprotocol/client");
const { UnauthorizedError } = await import(
  v1 ? "@modelcontextprotocol/sdk/client/auth.js" : "@modelcontextprotocol/client");

const authProvider = new Credentials();
let client, transport;

async function connect() {
  transport = new StreamableHTTPClientTransport(new URL(url), { authProvider, fetch: recording });
  client = new Client({ name: "extauthz tests", version: "1" }, { versionNegotiation: { mode } });
  await client.connect(transport);
}

/** Runs `action`; where the SDK asks for the user first, comes back with the code and repeats. */
async function authorized(action) {
  try {
    return await action();
  } catch (error) {
    if (!(error instanceof UnauthorizedError)) throw error;
    await transport.finishAuth(v1 ? authProvider.callback.get("code") : authProvider.callback);
    return await action();
  }
}

const call = (name, args) => authorized(() => client.callTool({ name, arguments: args }));

const outcome = {};
try {
  await authorized(connect);
  outcome.tools = (await client.listTools()).tools.map((tool) => tool.name);
  outcome.me = (await call("get_me", {})).structuredContent;
  outcome.logins = authProvider.authorizations;
  outcome.sum = (await call("add", { a: 2, b: 3 })).structuredContent;
} catch (error) {
  outcome.error = String(error);
}
outcome.authorizations = authProvider.authorizations;
outcome.token = authProvider.token?.access_token;
outcome.traffic = traffic;
console.log(JSON.stringify(outcome));
process.exit(0);
