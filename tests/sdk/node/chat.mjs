// The Chat Completions of the official Node SDK against the server named by BASE_URL, with the model MODEL. Prints what
// it saw as JSON; the Python side judges. What the model is to do stands in the messages.
import { createRequire } from "node:module";

const require = createRequire(process.env.ANTIPHON_NODE_MODULES + "/");
const OpenAI = require("openai").default;
const client = new OpenAI({ baseURL: process.env.BASE_URL, apiKey: "none", maxRetries: 0 });
const model = process.env.MODEL;
const seen = {};

const user = (content) => [{ role: "user", content }];
const collect = async (stream) => {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return chunks;
};

const plain = await client.chat.completions.create({ model, messages: user("Say hello.") });
seen.content = plain.choices[0].message.content;
seen.finish_reason = plain.choices[0].finish_reason;
seen.usage = plain.usage;

seen.chunks = await collect(
  await client.chat.completions.create({
    model,
    messages: user("Say hello."),
    stream: true,
    stream_options: { include_usage: true },
  }),
);

const helper = client.chat.completions.stream({ model, messages: user("Say hello.") });
let deltas = "";
helper.on("content", (delta) => (deltas += delta));
seen.helper_content = await helper.finalContent();
seen.helper_deltas = deltas;

const tools = [
  {
    type: "function",
    function: {
      name: "weather",
      description: "The weather in a city.",
      strict: true,
      parameters: {
        type: "object",
        properties: { city: { type: "string" } },
        required: ["city"],
        additionalProperties: false,
      },
    },
  },
];
const asked = user("What is the weather in Paris?");
const called = await client.chat.completions.create({ model, messages: asked, tools });
const call = called.choices[0].message.tool_calls[0];
seen.call = { name: call.function.name, arguments: JSON.parse(call.function.arguments) };
seen.called = called.choices[0].finish_reason;
const answered = await client.chat.completions.create({
  model,
  messages: [...asked, called.choices[0].message, { role: "tool", tool_call_id: call.id, content: "sunny" }],
  tools,
});
seen.answered = answered.choices[0].finish_reason;

const streamedCall = await client.chat.completions.stream({ model, messages: asked, tools }).finalMessage();
seen.streamed_call = JSON.parse(streamedCall.tool_calls[0].function.arguments);

const parsed = await client.chat.completions.parse({
  model,
  messages: user("Give me a city as JSON."),
  response_format: {
    type: "json_schema",
    json_schema: {
      name: "city",
      strict: true,
      schema: {
        type: "object",
        properties: { city: { type: "string" } },
        required: ["city"],
        additionalProperties: false,
      },
    },
  },
});
seen.parsed = Object.keys(parsed.choices[0].message.parsed);

const stored = await client.chat.completions.create({
  model,
  messages: user("Say hello."),
  store: true,
  metadata: { of: "node" },
});
seen.listed = [];
for await (const each of client.chat.completions.list({ metadata: { of: "node" } })) seen.listed.push(each.id === stored.id);
seen.messages = [];
for await (const each of client.chat.completions.messages.list(stored.id)) seen.messages.push(each.content);
seen.retrieved = (await client.chat.completions.retrieve(stored.id)).choices[0].message.content;
seen.updated = (await client.chat.completions.update(stored.id, { metadata: { of: "nobody" } })).metadata;
seen.deleted = (await client.chat.completions.delete(stored.id)).deleted;
try {
  await client.chat.completions.retrieve(stored.id);
} catch (error) {
  seen.error = { name: error.constructor.name, status: error.status, code: error.code };
}
try {
  await client.chat.completions.create({ model, messages: user("Hi."), n: 2 });
} catch (error) {
  seen.refused = { name: error.constructor.name, param: error.param, code: error.code };
}
console.log(JSON.stringify(seen));
