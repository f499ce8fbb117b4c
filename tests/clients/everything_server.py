"""The MCP server that the published conformance suite asks for, on the mcp package.

    python everything_server.py PATH PORT

The suite names the tools, prompts and resources; what they answer is fixed.
"""

from __future__ import annotations

import asyncio
import base64
import json
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import uvicorn
from mcp import types
from mcp.server import Server
from mcp.server.context import ServerRequestContext
from mcp.server.streamable_http import EventCallback, EventMessage, EventStore

Context = ServerRequestContext[Any]
Content = dict[str, Any]

PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n").decode()
WAV = base64.b64encode(b"RIFF").decode()


def text(words: str) -> Content:
    return {"type": "text", "text": words}


def embedded(uri: str, words: str, kind: str = "text/plain") -> Content:
    return {"type": "resource", "resource": {"uri": uri, "mimeType": kind, "text": words}}


IMAGE = {"type": "image", "data": PNG, "mimeType": "image/png"}
FIXED: dict[str, list[Content]] = {
    "test_simple_text": [text("This is a simple text response for testing.")],
    "test_image_content": [IMAGE],
    "test_audio_content": [{"type": "audio", "data": WAV, "mimeType": "audio/wav"}],
    "test_embedded_resource": [embedded("test://embedded-resource", "An embedded resource.")],
    "test_multiple_content_types": [
        text("Multiple content types test:"),
        IMAGE,
        embedded("test://mixed-content-resource", '{"test":"data"}', "application/json"),
    ],
    "json_schema_2020_12_tool": [text("ok")],
}


async def logging(ctx: Context, arguments: dict[str, Any]) -> str:
    for words in ("started", "processing data", "completed"):
        await ctx.session.send_log_message(
            "info", f"Tool {words}", related_request_id=ctx.request_id
        )
        await asyncio.sleep(0.05)
    return "logged"


async def progress(ctx: Context, arguments: dict[str, Any]) -> str:
    for done in (0, 50, 100):
        await ctx.session.report_progress(done, 100)
        await asyncio.sleep(0.05)
    return "done"


async def sampling(ctx: Context, arguments: dict[str, Any]) -> str:
    said = types.SamplingMessage(
        role="user", content=types.TextContent(type="text", text=arguments["prompt"])
    )
    got = await ctx.session.create_message(
        [said], max_tokens=100, related_request_id=ctx.request_id
    )
    return f"LLM response: {got.content}"


def elicitation(schema: dict[str, Any]) -> Callable[[Context, dict[str, Any]], Awaitable[str]]:
    async def elicit(ctx: Context, arguments: dict[str, Any]) -> str:
        whole = {"type": "object", "properties": schema, "required": list(schema)}
        words = arguments.get("message", "Please fill in")
        got = await ctx.session.elicit_form(words, whole, related_request_id=ctx.request_id)
        return f"Elicitation completed: action={got.action}, content={json.dumps(got.content)}"

    return elicit


async def error(ctx: Context, arguments: dict[str, Any]) -> str:
    raise ToolError


async def reconnection(ctx: Context, arguments: dict[str, Any]) -> str:
    assert ctx.close_sse_stream is not None
    await ctx.close_sse_stream()
    await asyncio.sleep(0.2)
    return "reconnected"


class ToolError(Exception):
    """The tool that always fails failed."""


OPTIONS = ["option1", "option2", "option3"]
TITLED = [{"const": f"value{n}", "title": f"Option {n}"} for n in (1, 2, 3)]
LIVE = {
    "test_tool_with_logging": logging,
    "test_tool_with_progress": progress,
    "test_sampling": sampling,
    "test_elicitation": elicitation({"username": {"type": "string"}, "email": {"type": "string"}}),
    "test_elicitation_sep1034_defaults": elicitation(
        {
            "name": {"type": "string", "default": "John Doe"},
            "age": {"type": "integer", "default": 30},
            "score": {"type": "number", "default": 95.5},
            "status": {
                "type": "string",
                "enum": ["active", "inactive", "pending"],
                "default": "active",
            },
            "verified": {"type": "boolean", "default": True},
        }
    ),
    "test_elicitation_sep1330_enums": elicitation(
        {
            "untitledSingle": {"type": "string", "enum": OPTIONS},
            "titledSingle": {"type": "string", "oneOf": TITLED},
            "legacyEnum": {
                "type": "string",
                "enum": ["opt1", "opt2", "opt3"],
                "enumNames": ["Option One", "Option Two", "Option Three"],
            },
            "untitledMulti": {"type": "array", "items": {"type": "string", "enum": OPTIONS}},
            "titledMulti": {"type": "array", "items": {"anyOf": TITLED}},
        }
    ),
    "test_error_handling": error,
    "test_reconnection": reconnection,
}
INPUTS: dict[str, dict[str, Any]] = {
    "test_sampling": {"properties": {"prompt": {"type": "string"}}, "required": ["prompt"]},
    "test_elicitation": {"properties": {"message": {"type": "string"}}},
    "json_schema_2020_12_tool": {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$defs": {
            "address": {
                "type": "object",
                "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
            }
        },
        "properties": {"name": {"type": "string"}, "address": {"$ref": "#/$defs/address"}},
        "additionalProperties": False,
    },
}
PROMPTS: dict[str, Callable[[dict[str, str]], list[Content]]] = {
    "test_simple_prompt": lambda given: [text("This is a simple prompt for testing.")],
    "test_prompt_with_arguments": lambda given: [
        text(f"Prompt with arguments: arg1='{given['arg1']}', arg2='{given['arg2']}'")
    ],
    "test_prompt_with_embedded_resource": lambda given: [
        embedded(given["resourceUri"], "Embedded resource content for testing."),
        text("Please process the embedded resource above."),
    ],
    "test_prompt_with_image": lambda given: [IMAGE, text("Please analyze the image above.")],
}
PROMPT_ARGUMENTS = {
    "test_prompt_with_arguments": ["arg1", "arg2"],
    "test_prompt_with_embedded_resource": ["resourceUri"],
}
RESOURCES: dict[str, Content] = {
    "test://static-text": {"mimeType": "text/plain", "text": "The static text resource."},
    "test://static-binary": {"mimeType": "image/png", "blob": PNG},
    "test://watched-resource": {"mimeType": "text/plain", "text": "Watched."},
}


async def list_tools(ctx: Context, params: Any) -> types.ListToolsResult:
    tools = [
        {
            "name": name,
            "description": name,
            "inputSchema": {"type": "object", **INPUTS.get(name, {})},
        }
        for name in (*FIXED, *LIVE)
    ]
    return types.ListToolsResult.model_validate({"tools": tools})


async def call_tool(ctx: Context, params: types.CallToolRequestParams) -> types.CallToolResult:
    content, failed = FIXED.get(params.name), False
    if content is None:
        try:
            content = [text(await LIVE[params.name](ctx, params.arguments or {}))]
        except ToolError:
            content, failed = [text("This tool intentionally returns an error")], True
    return types.CallToolResult.model_validate({"content": content, "isError": failed})


async def list_prompts(ctx: Context, params: Any) -> types.ListPromptsResult:
    prompts = [
        {
            "name": name,
            "description": name,
            "arguments": [
                {"name": each, "required": True} for each in PROMPT_ARGUMENTS.get(name, [])
            ],
        }
        for name in PROMPTS
    ]
    return types.ListPromptsResult.model_validate({"prompts": prompts})


async def get_prompt(ctx: Context, params: types.GetPromptRequestParams) -> types.GetPromptResult:
    contents = PROMPTS[params.name](params.arguments or {})
    messages = [{"role": "user", "content": content} for content in contents]
    return types.GetPromptResult.model_validate({"messages": messages})


async def list_resources(ctx: Context, params: Any) -> types.ListResourcesResult:
    resources = [
        {"uri": uri, "name": uri, "description": uri, "mimeType": content["mimeType"]}
        for uri, content in RESOURCES.items()
    ]
    return types.ListResourcesResult.model_validate({"resources": resources})


async def list_templates(ctx: Context, params: Any) -> types.ListResourceTemplatesResult:
    template = {"uriTemplate": "test://template/{id}/data", "name": "template"}
    return types.ListResourceTemplatesResult.model_validate({"resourceTemplates": [template]})


async def read_resource(
    ctx: Context, params: types.ReadResourceRequestParams
) -> types.ReadResourceResult:
    uri = str(params.uri)
    content = RESOURCES.get(uri)
    if content is None:
        number = uri.removeprefix("test://template/").removesuffix("/data")
        content = {"mimeType": "application/json", "text": json.dumps({"id": number})}
    return types.ReadResourceResult.model_validate({"contents": [{"uri": uri, **content}]})


async def nothing(ctx: Context, params: Any) -> types.EmptyResult:
    return types.EmptyResult()


async def complete(ctx: Context, params: Any) -> types.CompleteResult:
    return types.CompleteResult.model_validate({"completion": {"values": ["one"], "total": 1}})


class Events(EventStore):
    """Keeps every event, so that a stream can be taken up again."""

    def __init__(self) -> None:
        self.events: list[tuple[str, Any]] = []

    async def store_event(self, stream_id: str, message: Any) -> str:
        self.events.append((stream_id, message))
        return str(len(self.events))

    async def replay_events_after(
        self, last_event_id: str, send_callback: EventCallback
    ) -> str | None:
        last = int(last_event_id)
        stream = self.events[last - 1][0]
        for number, (owner, message) in enumerate(self.events[last:], last + 1):
            if owner == stream and message is not None:
                await send_callback(EventMessage(message, str(number)))
        return stream


def application(path: str) -> Any:
    server: Server[Any] = Server(
        "everything",
        on_list_tools=list_tools,
        on_call_tool=call_tool,
        on_list_prompts=list_prompts,
        on_get_prompt=get_prompt,
        on_list_resources=list_resources,
        on_list_resource_templates=list_templates,
        on_read_resource=read_resource,
        on_subscribe_resource=nothing,
        on_unsubscribe_resource=nothing,
        on_set_logging_level=nothing,
        on_completion=complete,
    )
    return server.streamable_http_app(
        streamable_http_path=path, event_store=Events(), retry_interval=100
    )


if __name__ == "__main__":
    served_path, port = sys.argv[1:]
    app = application(served_path)
    uvicorn.run(app, host="127.0.0.1", port=int(port), log_level="warning", ws="none")
