// A small server with the API's shapes, for what the page itself must do. The real server has its own test: real_server.test.mjs.
import { createServer } from "node:http";
import { readFile } from "node:fs/promises";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import * as data from "./fixtures.mjs";

const kDist = fileURLToPath(new URL("../dist", import.meta.url));
const kTypes = { ".html": "text/html; charset=utf-8", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml" };
// The strictest policy the page must work under.
const kPolicy =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const kRoles = { "key-admin": "admin", "key-read": "read", "key-search": "search", "key-ads": "ads" };

const failure = (status, message, code) => ({ status, body: { error: { message, type: "invalid_request_error", param: null, code } } });

function mayUse(role, method, path) {
  if (role === "admin") return true;
  if (path.startsWith("/v1/audit")) return false;
  if (path.startsWith("/v1/ads/") && path !== "/v1/ads/library") return role === "ads";
  if (path.startsWith("/v1/posts") || path.startsWith("/v1/authors")) return role === "search";
  return true;
}

function search(state, { query, offset = 0 }) {
  if (query === "bad:") return failure(400, "column 5: `bad:` is not a term of the query language", "bad_query");
  if (query === "nothing") return { body: { hits: [], estimated_total: 0, facets: [], corrected_query: "nutting", took_ms: 0.4 } };
  const hits = state.hits.slice(offset);
  return { body: { hits, estimated_total: state.hits.length, facets: data.facets, corrected_query: "", took_ms: 3.14 } };
}

function writeJob(state) {
  state.polls += 1;
  if (state.failWriting) return { body: { state: "failed", progress: 0.2, message: "the writer ran out of memory" } };
  if (state.polls < 3) return { body: { state: "running", progress: state.polls / 3, message: `writing variant ${state.polls} of 2` } };
  state.campaigns = [structuredClone(data.campaign)];
  return { body: { state: "done", progress: 1, message: "done", campaign: state.campaigns[0] } };
}

function approve(state, { variant_ids: ids, approver }) {
  const [campaign] = state.campaigns;
  state.approver = approver;
  campaign.state = "approved";
  for (const variant of campaign.variants) if (ids.includes(variant.id)) variant.state = "approved";
  return { body: campaign };
}

function plan(state, question) {
  state.question = question;
  return question.model === "70b" ? { body: data.plan } : failure(400, `no model "${question.model}"; did you mean "70b"?`, "bad_plan");
}

function addPost(state, post) {
  state.posted.push(post);
  state.hits = [{ post, score: 1, lexical_score: 1, vector_score: 0, snippet_html: "" }, ...state.hits];
  return { status: 201, body: { id: post.id, created: true } };
}

function route(state, method, url, body) {
  const path = url.pathname;
  if (state.down) return failure(503, "the index is loading", "loading");
  switch (`${method} ${path}`) {
    case "GET /v1/info": return { body: { ...data.info, role: state.role } };
    case "POST /v1/search": return search(state, body);
    case "POST /v1/chat/completions": return state.role === "read" ? failure(403, "a key with the role `read` may not do this", "role_not_allowed") : { stream: body };
    case "POST /v1/ask": return { body: body.question.includes("unknown") ? { answered: false, sentences: [], sources: [], message: "no answer in the posts" } : data.answer };
    case "POST /v1/posts": return addPost(state, body);
    case "GET /v1/ads/campaigns": return { body: { campaigns: state.campaigns } };
    case "POST /v1/ads/write": state.brief = body.brief; state.polls = 0; return { status: 202, body: { job: "j1" } };
    case "GET /v1/ads/jobs/j1": return writeJob(state);
    case "POST /v1/ads/campaigns/c1/approve": return approve(state, body);
    case "POST /v1/ads/campaigns/c1/state": state.campaigns[0].state = body.state; return { body: state.campaigns[0] };
    case "POST /v1/ads/check": return { body: { ...data.variants[1], headline: body.headline, body: body.body, claims: [] } };
    case "GET /v1/ads/library": return { body: { entries: url.searchParams.get("query") === "tea" ? [] : data.library } };
    case "GET /v1/audit": return { body: { records: data.records, verified: !state.broken, break: state.broken ?? null } };
    case "GET /v1/training": return { body: data.training };
    case "POST /v1/plan": return plan(state, body);
    default: break;
  }
  if (method === "DELETE" && path.startsWith("/v1/posts/")) {
    const id = decodeURIComponent(path.slice("/v1/posts/".length));
    state.hits = state.hits.filter((hit) => hit.post.id !== id);
    return { body: { deleted: "post", id, checkpoints: ["models/own"] } };
  }
  return failure(404, `${method} ${path} is not part of the API`, "not_found");
}

// Two words an answer; with `state.hold` the second never comes.
async function chat(state, request, response) {
  state.chat = request;
  const event = (value) => response.write(`data: ${JSON.stringify(value)}\n\n`);
  const piece = (delta, finish_reason = null) => event({ choices: [{ index: 0, delta, finish_reason }], usage: null });
  response.writeHead(200, { "Content-Type": "text/event-stream" });
  piece({ role: "assistant", content: "" });
  piece({ content: "Good <b>day" });
  if (state.hold) return;
  await new Promise((resolve) => setTimeout(resolve, 50));
  piece({ content: `, ${request.messages.length}.` });
  piece({}, request.max_tokens === 1 ? "length" : "stop");
  event({ choices: [], usage: { prompt_tokens: 12, completion_tokens: 5, total_tokens: 17 } });
  response.end("data: [DONE]\n\n");
}

async function file(path) {
  const name = normalize(path === "/" ? "/index.html" : path);
  return { content: await readFile(join(kDist, name)), type: kTypes[extname(name)] ?? "application/octet-stream" };
}

async function api(state, request, url) {
  state.role = kRoles[(request.headers.authorization ?? "").replace("Bearer ", "")];
  if (!state.role) return failure(401, "the key is not known", "invalid_api_key");
  if (!mayUse(state.role, request.method, url.pathname)) return failure(403, `the role ${state.role} may not use ${url.pathname}`, "forbidden");
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  return route(state, request.method, url, chunks.length ? JSON.parse(Buffer.concat(chunks).toString()) : undefined);
}

export async function startFixtureServer() {
  const state = {};
  const reset = () => {
    for (const key of Object.keys(state)) delete state[key];
    Object.assign(state, { hits: [...data.hits], campaigns: [], posted: [], polls: 0 });
  };
  reset();
  const server = createServer(async (request, response) => {
    const url = new URL(request.url, "http://page.test");
    response.setHeader("Content-Security-Policy", kPolicy);
    if (url.pathname.startsWith("/v1/")) {
      const { status = 200, body, stream } = await api(state, request, url);
      if (stream) return chat(state, stream, response);
      response.writeHead(status, { "Content-Type": "application/json" }).end(JSON.stringify(body));
      return;
    }
    try {
      const { content, type } = await file(url.pathname);
      response.writeHead(200, { "Content-Type": type }).end(content);
    } catch {
      response.writeHead(404).end();
    }
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { url: `http://127.0.0.1:${server.address().port}/`, state, reset, close: () => new Promise((resolve) => { server.close(resolve); server.closeAllConnections(); }) };
}
