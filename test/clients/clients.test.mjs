// The clients that products use, end to end. Retries are off: what the server says is what the test sees.
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { HumanMessage, SystemMessage } from "@langchain/core/messages";
import { ChatOpenAI, OpenAIEmbeddings } from "@langchain/openai";
import { APICallError, embedMany, generateText, jsonSchema, Output, stepCountIs, streamText, tool } from "ai";
import Ajv from "ajv/dist/2020.js";
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import OpenAI from "openai";
import { noServer, startServer } from "./server.mjs";

const skip = noServer;
let server;
before(async () => {
  if (!skip) server = await startServer(["server.requests_per_second=10000", "server.request_burst=10000"]);
});
after(async () => {
  if (server) assert.equal(await server.stop(), 0);  // SIGTERM ends it in good order
});

const kQuestion = [{ role: "user", content: "Which mailer runs again?" }];
const kWeather = {
  type: "object",
  properties: { place: { type: "string", minLength: 1, maxLength: 12 }, days: { type: "integer", minimum: 1, maximum: 7 } },
  required: ["place", "days"],
  additionalProperties: false,
};
const ajv = new Ajv({ allErrors: true });
const kWeatherIsValid = ajv.compile(kWeather);
const norm = (vector) => Math.hypot(...vector);

describe("openai", { skip }, () => {
  const client = (key = server.key) => new OpenAI({ baseURL: `${server.url}v1`, apiKey: key, maxRetries: 0 });

  test("lists the models", async () => {
    const ids = [];
    for await (const model of client().models.list()) ids.push(model.id);
    assert.deepEqual(ids, [server.model]);
  });

  test("chats, whole and streamed, with the same text", async () => {
    const request = { model: server.model, messages: kQuestion, seed: 7, max_completion_tokens: 24, logprobs: true, top_logprobs: 2 };
    const whole = await client().chat.completions.create(request);
    assert.equal(whole.object, "chat.completion");
    assert.equal(whole.usage.total_tokens, whole.usage.prompt_tokens + whole.usage.completion_tokens);
    assert.ok(whole.choices[0].logprobs.content.every((token) => token.logprob <= 0 && token.top_logprobs.length === 2));
    let text = "", usage, pieces = 0;
    for await (const chunk of await client().chat.completions.create({ ...request, stream: true, stream_options: { include_usage: true } })) {
      text += chunk.choices[0]?.delta.content ?? "";
      usage = chunk.usage ?? usage;
      ++pieces;
    }
    assert.equal(text, whole.choices[0].message.content);
    const counts = ({ prompt_tokens, completion_tokens, total_tokens }) => [prompt_tokens, completion_tokens, total_tokens];
    assert.deepEqual(counts(usage), counts(whole.usage));
    assert.ok(pieces > 3);
  });

  test("completes a text, echoes it with scores, and makes n of them", async () => {
    const made = await client().completions.create({ model: server.model, prompt: "the linux", echo: true, logprobs: 1, max_tokens: 4, n: 2, seed: 1 });
    assert.equal(made.choices.length, 2);
    for (const choice of made.choices) {
      assert.ok(choice.text.startsWith("the linux"));
      assert.equal(choice.logprobs.tokens.join("").slice(0, 9), "the linux");
    }
  });

  const kSchemas = {
    order: {
      type: "object",
      properties: {
        id: { type: "string", pattern: "^[A-Z]{2}-\\d{3}$" },
        items: { type: "array", minItems: 1, maxItems: 3, items: { type: "object", properties: { name: { type: "string", maxLength: 8 }, price: { type: "number", minimum: 0, exclusiveMaximum: 1000 } }, required: ["name", "price"], additionalProperties: false } },
        paid: { type: "boolean" },
      },
      required: ["id", "items", "paid"],
      additionalProperties: false,
    },
    tree: {
      $ref: "#/$defs/node",
      $defs: { node: { type: "object", properties: { v: { enum: ["é", "中", "😀", 1, null] }, left: { anyOf: [{ $ref: "#/$defs/node" }, { type: "null" }] } }, required: ["v", "left"], additionalProperties: false } },
    },
    either: { anyOf: [{ type: "integer", minimum: -20, maximum: 20, multipleOf: 5 }, { type: "array", prefixItems: [{ const: "x" }, { type: ["string", "null"], maxLength: 4 }], items: false, minItems: 2 }] },
    weather: kWeather,
    words: { type: "object", properties: { tags: { type: "array", items: { type: "string", minLength: 2, maxLength: 5 }, maxItems: 4 } }, required: ["tags"], additionalProperties: { type: "integer", minimum: 3, maximum: 5 } },
  };
  for (const [name, schema] of Object.entries(kSchemas)) {
    test(`40 answers at temperature 1.5 under the schema "${name}" all parse and validate`, async () => {
      const isValid = ajv.compile(schema);
      const texts = new Set();
      for (let seed = 0; seed < 5; ++seed) {
        const made = await client().chat.completions.create({
          model: server.model, messages: kQuestion, temperature: 1.5, n: 8, seed, max_tokens: 160,
          response_format: { type: "json_schema", json_schema: { name, schema, strict: true } },
        });
        assert.equal(made.choices.length, 8);
        for (const { message, finish_reason } of made.choices) {
          assert.equal(finish_reason, "stop", message.content);
          assert.ok(isValid(JSON.parse(message.content)), `${message.content}: ${ajv.errorsText(isValid.errors)}`);
          texts.add(message.content);
        }
      }
      assert.ok(texts.size > 1, "the form leaves choices, so the answers differ");  // how much is the model's affair
    });
  }

  test("calls a tool, and goes on with its result", async () => {
    const tools = [{ type: "function", function: { name: "get_weather", description: "The weather of a place", parameters: kWeather } }];
    const asked = await client().chat.completions.create({ model: server.model, messages: kQuestion, tools, tool_choice: "required", max_tokens: 120 });
    assert.equal(asked.choices[0].finish_reason, "tool_calls");
    const [call] = asked.choices[0].message.tool_calls;
    assert.ok(kWeatherIsValid(JSON.parse(call.function.arguments)));
    const messages = [...kQuestion, asked.choices[0].message, { role: "tool", tool_call_id: call.id, content: "sunny" }];
    const answered = await client().chat.completions.create({ model: server.model, messages, tools, tool_choice: "none", max_tokens: 8 });
    assert.equal(typeof answered.choices[0].message.content, "string");
  });

  test("embeds, as floats and as base64", async () => {
    const floats = await client().embeddings.create({ model: server.model, input: ["a post", "a thread"], encoding_format: "float" });
    const coded = await client().embeddings.create({ model: server.model, input: ["a post", "a thread"] });  // the client asks for base64
    assert.equal(floats.data.length, 2);
    floats.data.forEach(({ embedding }, i) => {
      assert.ok(Math.abs(norm(embedding) - 1) < 1e-3);
      assert.ok(embedding.every((value, j) => Math.abs(value - coded.data[i].embedding[j]) < 1e-6));
    });
  });

  test("gets its own error classes", async () => {
    const chat = (more, key) => client(key).chat.completions.create({ model: server.model, messages: kQuestion, ...more });
    await assert.rejects(chat({}, "sk-starling-wrong"), (error) => error instanceof OpenAI.AuthenticationError && error.code === "invalid_api_key");
    await assert.rejects(chat({ model: "nothing" }), (error) => error instanceof OpenAI.NotFoundError && error.code === "model_not_found");
    await assert.rejects(chat({ temperature: 9 }), (error) => error instanceof OpenAI.BadRequestError && error.param === "temperature");
    const schema = { type: "string", pattern: "^((a{1,100}){1,100}){1,100}$" };
    await assert.rejects(chat({ response_format: { type: "json_schema", json_schema: { name: "x", schema } } }), (error) => error.code === "invalid_schema");
  });

  test("may leave a stream", async () => {
    let stream;
    for (let seed = 1, left = false; !left && seed <= 20; ++seed) { // some answers end before they say anything
      stream = await client().chat.completions.create({ model: server.model, messages: kQuestion, stream: true, max_tokens: 3000, seed });
      for await (const chunk of stream) if ((left = Boolean(chunk.choices[0].delta.content))) break;
    }
    assert.ok(stream.controller.signal.aborted);
  });
});

describe("@ai-sdk/openai-compatible", { skip }, () => {
  const provider = (key = server.key) => createOpenAICompatible({ name: "starling", baseURL: `${server.url}v1`, apiKey: key, includeUsage: true, supportsStructuredOutputs: true });
  const common = { messages: kQuestion, maxRetries: 0, maxOutputTokens: 120, seed: 3 };

  test("generates and streams the same text", async () => {
    const whole = await generateText({ ...common, model: provider()(server.model), maxOutputTokens: 16 });
    const stream = streamText({ ...common, model: provider()(server.model), maxOutputTokens: 16 });
    let text = "";
    for await (const piece of stream.textStream) text += piece;
    assert.equal(text, whole.text);
    assert.equal((await stream.usage).outputTokens, whole.usage.outputTokens);
    assert.ok(whole.usage.inputTokens > 0);
  });

  test("makes an object of a schema", async () => {
    const { output } = await generateText({ ...common, model: provider()(server.model), temperature: 1.5, output: Output.object({ schema: jsonSchema(kWeather) }) });
    assert.ok(kWeatherIsValid(output));
  });

  test("runs a tool", async () => {
    const asked = [];
    const get_weather = tool({
      description: "The weather of a place",
      inputSchema: jsonSchema(kWeather),
      execute: async (input) => { asked.push(input); return "sunny"; },
    });
    const { steps } = await generateText({ ...common, model: provider()(server.model), tools: { get_weather }, toolChoice: "required", stopWhen: stepCountIs(1) });
    assert.equal(steps[0].finishReason, "tool-calls");
    assert.equal(asked.length, 1);
    assert.ok(kWeatherIsValid(asked[0]));
  });

  test("embeds", async () => {
    const { embeddings } = await embedMany({ model: provider().embeddingModel(server.model), values: ["a post", "a thread"], maxRetries: 0 });
    assert.equal(embeddings.length, 2);
    assert.ok(Math.abs(norm(embeddings[0]) - 1) < 1e-3);
  });

  test("gets the error's status and message", async () => {
    await assert.rejects(generateText({ ...common, model: provider("sk-starling-wrong")(server.model) }),
      (error) => APICallError.isInstance(error) && error.statusCode === 401 && /starling keys create/.test(error.message));
  });
});

describe("@langchain/openai", { skip }, () => {
  const model = (more = {}) => new ChatOpenAI({
    model: server.model, apiKey: server.key, configuration: { baseURL: `${server.url}v1` }, maxRetries: 0, maxTokens: 120, modelKwargs: { seed: 5 }, ...more,
  });
  const messages = [new SystemMessage("Be short."), new HumanMessage("Which mailer runs again?")];

  test("invokes and streams the same text", async () => {
    const whole = await model({ maxTokens: 16 }).invoke(messages);
    let text = "";
    for await (const piece of await model({ maxTokens: 16 }).stream(messages)) text += piece.content;
    assert.equal(text, whole.content);
    assert.ok(whole.usage_metadata.input_tokens > 0);
  });

  test("makes an object of a schema", async () => {
    const made = await model({ temperature: 1.5 }).withStructuredOutput({ title: "weather", ...kWeather }, { name: "weather", method: "jsonSchema", strict: true }).invoke(messages);
    assert.ok(kWeatherIsValid(made));
  });

  test("binds a tool", async () => {
    const get_weather = { type: "function", function: { name: "get_weather", description: "The weather of a place", parameters: kWeather } };
    const made = await model().bindTools([get_weather], { tool_choice: "required" }).invoke(messages);
    assert.equal(made.tool_calls[0].name, "get_weather");
    assert.ok(kWeatherIsValid(made.tool_calls[0].args));
  });

  test("embeds", async () => {
    const embeddings = new OpenAIEmbeddings({ model: server.model, apiKey: server.key, configuration: { baseURL: `${server.url}v1` }, maxRetries: 0 });
    const vectors = await embeddings.embedDocuments(["a post", "a thread"]);
    assert.equal(vectors.length, 2);
    assert.ok(Math.abs(norm(vectors[1]) - 1) < 1e-3);
  });

  test("fails with the server's error", async () => {
    await assert.rejects(model({ model: "nothing" }).invoke(messages), (error) => error.status === 404 && error.code === "model_not_found");
  });
});
