-- Asks extauthz about every request, as forward-auth does, and lets nothing through unasked.
-- HAProxy 2.6 or later; loaded by haproxy.cfg.

local URL = {{url}}
local WHERE = {{where}}
-- A request may wait 250 ms for the keys of an issuer. HAProxy asks again when time is over.
local TIMEOUT_MS = 1000

local IDENTITY = { {{identity}} }
local ASKED_WITH = {
  "accept", "access-control-request-method", "authorization", "dpop", "mcp-method", "mcp-name",
  "mcp-protocol-version", "origin", "x-request-id",
}
local TOLD = {
  "access-control-allow-origin", "access-control-expose-headers", "cache-control", "content-type",
  "retry-after", "vary", "www-authenticate",
}
local REMEMBERED = {
  extauthz_server = "x-auth-server",
  extauthz_subject = "x-auth-subject",
  extauthz_client_id = "x-auth-client-id",
  extauthz_allow_origin = "access-control-allow-origin",
  extauthz_expose_headers = "access-control-expose-headers",
  extauthz_vary = "vary",
}

local function values(headers, name)
  local found, lines, index = {}, headers[name] or {}, 0
  while lines[index] ~= nil do
    found[#found + 1] = lines[index]
    index = index + 1
  end
  return found
end

local function question(txn)
  local headers, asked = txn.http:req_get_headers(), {}
  for _, name in ipairs(ASKED_WITH) do
    local found = values(headers, name)
    if #found > 0 then asked[name] = found end
  end
  -- With HTTP/1 the target as it was written, so that an absolute one is refused.
  local is_http_1 = string.sub(txn.sf:req_ver(), 1, 1) == "1"
  asked["x-forwarded-uri"] = { is_http_1 and txn.sf:url() or txn.sf:pathq() }
  asked["x-forwarded-method"] = { txn.sf:method() }
  asked["x-forwarded-host"] = values(headers, "host")
  asked["x-forwarded-proto"] = { txn.f:ssl_fc() == 1 and "https" or "http" }
  return asked
end

local function refuse(txn, status, headers, body)
  local reply = txn:reply()
  reply:set_status(status)
  for name, lines in pairs(headers) do
    for _, line in ipairs(lines) do reply:add_header(name, line) end
  end
  reply:set_body(body)
  txn:done(reply)
end

local function down(txn)
  local headers = {
    ["content-type"] = { "application/json" },
    ["cache-control"] = { "no-store" },
    ["retry-after"] = { "5" },
  }
  refuse(txn, 503, headers, '{"error":"The authorization service did not answer"}')
end

core.register_action("extauthz", { "http-req" }, function(txn)
  local asked, answer = pcall(function()
    local request = { url = URL, headers = question(txn), timeout = TIMEOUT_MS, dst = WHERE }
    return core.httpclient():get(request)
  end)
  local status = asked and answer ~= nil and answer.status or 0
  local headers = asked and answer ~= nil and answer.headers or {}
  if status < 300 and status ~= 200 then return down(txn) end
  if status ~= 200 then
    -- What HAProxy itself makes of a failure has no type that is ours.
    if values(headers, "content-type")[1] ~= "application/json" then return down(txn) end
    local told = {}
    for _, name in ipairs(TOLD) do told[name] = values(headers, name) end
    local body = answer.body or ""
    local reason = string.match(body, '"reason":"([a-z_]+)"')
    if reason ~= nil then txn:set_var("txn.extauthz_reason", reason) end
    return refuse(txn, status, told, body)
  end
  -- Some web servers add trailers to the headers. Where some may follow, no name stays free for
  -- them: what nobody has is sent empty.
  local trailers = txn:get_var("txn.extauthz_trailers")
  for _, name in ipairs(IDENTITY) do
    txn.http:req_del_header(name)
    local value = values(headers, name)[1] or ""
    if value ~= "" or trailers then txn.http:req_set_header(name, value) end
  end
  for name, header in pairs(REMEMBERED) do
    local value = values(headers, header)[1]
    if value ~= nil then txn:set_var("txn." .. name, value) end
  end
end, 0)
