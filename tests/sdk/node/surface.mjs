// Every operation of the official Node SDK on responses, against the server named by BASE_URL. Prints what it saw as
// JSON; the Python side judges. Models: "rehearsed" answers with text, "json" with JSON, "calls" calls a function.
import { createRequire } from "node:module";

const require = createRequire(process.env.ANTIPHON_NODE_MODULES + "/");
const OpenAI = require("openai").default;
const client = new OpenAI({ baseURL: process.env.BASE_URL, apiKey: "none", maxRetries: 0 });
const seen = {};

const collect = async (stream) => {
  const events = [];
  for await (const event of stream) events.push(event);
  return events;
};

const created = await client.responses.create({ model: "rehearsed", input: "Hi." });
seen.output_text = created.output_text;
seen.retrieved_equal =
  JSON.stringify((await client.responses.retrieve(created.id)).output) === JSON.stringify(created.output);

seen.events = await collect(await client.responses.create({ model: "rehearsed", input: "Hi.", stream: true }));

const helper = client.responses.stream({ model: "rehearsed", input: "Hi." });
let deltas = "";
helper.on("response.output_text.delta", (event) => (deltas += event.delta));
seen.helper_text = (await helper.finalResponse()).output_text;
seen.helper_deltas = deltas;

const id = seen.events[0].response.id;
seen.resumed = await collect(await client.responses.retrieve(id, { stream: true, starting_after: 3 }));

const parsed = await client.responses.parse({
  model: "json",
  input: "Give me a city.",
  text: {
    format: {
      type: "json_schema",
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
seen.parsed = parsed.output_parsed;

const tools = [{ type: "function", name: "weather", strict: false, parameters: { type: "object" } }];
const called = await client.responses.create({ model: "calls", input: "Weather in Paris?", tools });
const call = called.output.find((item) => item.type === "function_call");
seen.call = { name: call.name, arguments: JSON.parse(call.arguments) };
const answered = await client.responses.create({
  model: "rehearsed",
  previous_response_id: called.id,
  input: [{ type: "function_call_output", call_id: call.call_id, output: "sunny" }],
  tools,
});

seen.input_items = [];
for await (const item of client.responses.inputItems.list(answered.id, { order: "asc", limit: 2 }))
  seen.input_items.push(item.type);

seen.counted = (await client.responses.inputTokens.count({ model: "rehearsed", input: "Hi." })).input_tokens;

const background = await client.responses.create({ model: "waits", input: "Hi.", background: true });
seen.queued = background.status;
seen.cancelled = (await client.responses.cancel(background.id)).status;

await client.responses.delete(created.id);
try {
  await client.responses.retrieve(created.id);
} catch (error) {
  seen.error = { name: error.constructor.name, status: error.status, code: error.code, id: error.requestID };
}
seen.models = (await client.models.list()).data.map((model) => model.id);
console.log(JSON.stringify(seen));
