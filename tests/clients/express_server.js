// An MCP server as the guides of the TypeScript SDK have it: Express parses the message.
//
//   node express_server.js PATH PORT
//
// Its tools are `safe` and `danger_zone`, and so are its resources; the answer tells which one
// ran or was read.

import express from "express";
import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { StreamableHTTPServerTransport } from "@modelcontextprotocol/sdk/server/streamableHttp.js";

const [path, port] = process.argv.slice(2);

function server() {
  const tools = new McpServer({ name: "two tools", version: "1" });
  for (const name of ["safe", "danger_zone"]) {
    tools.registerTool(name, {}, () => ({ content: [{ type: "text", text: `ran ${name}` }] }));
    const read = (uri) => ({ contents: [{ uri: uri.href, text: `read ${name}` }] });
    tools.registerResource(name, `file:///${name}/x`, {}, read);
  }
  return tools;
}

const app = express();
app.use(express.json());
app.post(path, async (request, response) => {
  const transport = new StreamableHTTPServerTransport({
    sessionIdGenerator: undefined,
    enableJsonResponse: true,
  });
  await server().connect(transport);
  await transport.handleRequest(request, response, request.body);
});
app.listen(Number(port), "127.0.0.1");
