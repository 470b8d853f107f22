// What the fixture server answers. Made up; only the tests of the page see it.

const kHostile = `<img src=x onerror="window.hacked=1"> & <script>window.hacked=1</script>`;
const escaped = (text) => text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;").replace(/"/g, "&quot;");

function post(id, author, text, extra = {}) {
  return { id, author, time: "2016-05-0" + (1 + (Number(id) % 9)) + "T12:30:00Z", text, language: "en", community: "weather", likes: 3 * Number(id), ...extra };
}

const hit = (p, html, score) => ({ post: p, score, lexical_score: score * 4, vector_score: score / 3, snippet_html: html });

const kLong = "The rain over the harbour has not stopped since Tuesday and the ferries are all late again. ".repeat(4);
export const hits = [
  hit(post("1", "alice", kLong, { replies: 2, reposts: 12 }), "The <mark>rain</mark> over the harbour has not stopped since Tuesday", 1.9),
  hit(post("2", "bob", "More rain tomorrow, says the forecast. Bring a coat. #storm", { hashtags: ["storm"] }), "More <mark>rain</mark> tomorrow, says the forecast. Bring a coat. #storm", 1.4),
  hit(post("3", kHostile, kHostile, { community: kHostile, language: "en" }), `${escaped(kHostile)}<img src=x onerror="window.hacked=1"><mark onclick="window.hacked=1">rain</mark><mark>rain</mark>`, 0.9),
];

export const facets = [
  { field: "author", counts: [["alice", 12], ["bob", 5], [kHostile, 1]] },
  { field: "community", counts: [["weather", 14], ["harbour town", 4]] },
  { field: "language", counts: [["en", 18]] },
  { field: "hashtag", counts: [["storm", 7]] },
  { field: "day", counts: [["2016-05-01", 9], ["2016-05-31", 3]] },
];

export const answer = {
  answered: true,
  sentences: [
    { text: "It has rained over the harbour since Tuesday.", post_ids: ["1"] },
    { text: "The forecast expects more rain tomorrow.", post_ids: ["2", "1"] },
  ],
  sources: [hits[0], hits[1]],
};

const bytes = (text) => new TextEncoder().encode(text).length;
function claim(copy, text, kind, supported, rest) {
  const begin = bytes(copy.slice(0, copy.indexOf(text)));
  return { text, begin, end: begin + bytes(text), kind, supported, ...rest };
}

const kHeadline = "Café-fresh coffee — 500 g";
const kBody = "Roasted to order, 12.90 USD a bag. Order today.";
const kCopy = `${kHeadline}\n${kBody}`;
const kBadBody = "The best coffee on earth for 9.90 USD.";
const kBadCopy = `${kHeadline}\n${kBadBody}`;
const kLabel = "AI-generated ad · paid for by Harbour Roasters Ltd";

export const variants = [
  {
    id: "v1", audience_id: "a1", headline: kHeadline, body: kBody, label: kLabel, graphemes: 73, state: "accepted", score: -1.21, reasons: [],
    claims: [
      claim(kCopy, "500 g", "unit", true, { fact_id: "weight" }),
      claim(kCopy, "Roasted to order", "plain", true, { fact_id: "roasted" }),
      claim(kCopy, "12.90 USD a bag", "currency", true, { fact_id: "price" }),
      claim(kCopy, "Order today.", "plain", true, { fact_id: "" }),
    ],
  },
  {
    id: "v2", audience_id: "a1", headline: kHeadline, body: kBadBody, label: kLabel, graphemes: 64, state: "rejected", score: -1.9,
    reasons: ["“best” is a superlative that no fact supports", "9.90 USD is not the price attested (12.90 USD)"],
    claims: [
      claim(kBadCopy, "best coffee on earth", "superlative", false, { fact_id: "", reason: "no fact supports it" }),
      claim(kBadCopy, "9.90 USD", "currency", false, { fact_id: "price", reason: "the fact says 12.90 USD" }),
    ],
  },
];

export const brief = {
  advertiser: "Harbour Roasters", payer: "Harbour Roasters Ltd", product: "Harbour coffee", landing_page: "https://harbour.example/coffee",
  currency: "USD", budget: "25.00", time_zone: "UTC", find_audiences: true, max_graphemes: 240,
  facts: [
    { id: "price", name: "price of a bag", value: "12.90", unit: "USD" },
    { id: "weight", name: "weight of a bag", value: "500", unit: "g", valid_to: "2030-01-01" },
    { id: "roasted", name: "roasted", value: "to order" },
  ],
};

export const campaign = {
  id: "c1", brief, state: "draft", spent_micros: 0,
  audiences: [{ id: "a1", name: "#coffee", query: "#coffee", authors: 412, posts: 980, reason: "412 authors wrote about it in the last 90 days" }],
  refused_audiences: [{ name: "#diabetes", reason: "health is never used for targeting" }],
  variants,
};

export const library = [{
  campaign_id: "c1", variant_id: "v1", advertiser: "Harbour Roasters", payer: "Harbour Roasters Ltd", headline: kHeadline, body: kBody, label: kLabel,
  audience: "#coffee", first_shown: "2026-01-02T00:00:00Z", last_shown: "2026-01-05T00:00:00Z", impressions: 1200, clicks: 18, spent_micros: 14_400_000, currency: "USD",
  claims: variants[0].claims,
}];

export const records = Array.from({ length: 3 }, (_, i) => ({
  sequence: i + 1, time: `2026-01-0${i + 1}T10:00:00Z`, kind: ["ads.written", "ads.approved", "post.deleted"][i], body: { campaign: "c1", note: kHostile }, hash: `${i}f`.repeat(32),
}));

export const training = {
  runs: [{
    name: "own", state: "done",
    points: Array.from({ length: 120 }, (_, i) => ({
      step: (i + 1) * 10, tokens: (i + 1) * 81_920, loss: 3.4 + 4.8 * Math.exp(-i / 22) + 0.06 * Math.sin(i * 1.9),
      validation_bits_per_byte: i % 12 === 11 ? 1.72 + 1.3 * Math.exp(-i / 26) : null, tokens_per_s: 9000 + 350 * Math.sin(i / 3),
      fraction_of_peak: 0.61, learning_rate: 1e-3 * Math.min(1, i / 10) * (1 - i / 140), grad_norm: 1.1,
    })),
    card_markdown: "# own\n\nA model of **10 M** parameters.\n\n## Data\n- `posts` to 2016\n- <b onclick=\"window.hacked=1\">not bold</b>\n\n| model | bits/byte |\n|---|---|\n| own | 1.72 |\n| xz | 2.90 |\n",
  }],
};

export const info = { version: "0.1.0", workspace: "/srv/demo", posts: 41234, indexed_posts: 41234, models: ["own"], writer: "tinyllama" };

const afford = (gpu, title, low, high, verdict, most) => ({
  gpu, title, price_low_usd: low, price_high_usd: high, price_source: "a dealer", price_date: "2026", total_low_usd: low * 1e4, total_high_usd: high * 1e4,
  tens_of_millions_buy_it: verdict, gpus_for_99m_usd: most,
});

export const plan = {
  request: { model: "70b", gpus: 10000, gpu: "a100-80g", tokens: 2e12, sequence_tokens: 4096, batch_tokens: 4194304 },
  model: { name: "70b", parameters: 6.9977e10, train_flops_per_token: 4.4e11 },
  gpu: { name: "a100-80g", title: "NVIDIA A100 SXM 80 GB", memory_bytes: 80e9 },
  layout: {
    tensor_parallel: 8, sequence_parallel: true, pipeline_parallel: 8, virtual_stages: 5, data_parallel: 156, expert_parallel: 1, zero_stage: 1, micro_batch_sequences: 1,
    micro_batches_per_step: 6.6, recompute: "selective", gpus_used: 9984, gpus_spare: 16,
  },
  memory_per_gpu: { weights_bytes: 2.2e9, gradients_bytes: 4.4e9, optimizer_bytes: 0.2e9, activations_bytes: 48.2e9, workspace_bytes: 4e9, total_bytes: 59e9 },
  step: { compute_s: 2.51, recompute_s: 0.1, tensor_parallel_s: 0.61, expert_parallel_s: 0, pipeline_s: 0.42, data_parallel_s: 0.1, optimizer_s: 0.005, total_s: 3.745 },
  model_flops_utilization: 0.472, tokens_per_s: 1.11e6, steps: 476837, days: 20.9, expected_interruptions: 99, megawatts: 8.4, energy_mwh: 4213, electricity_usd: 337000,
  purchase_low_usd: 65e6, purchase_high_usd: 100e6, rental_low_usd: 5e6, rental_high_usd: 9.5e6,
  affordability: [
    afford("a100-80g", "NVIDIA A100 SXM 80 GB", 6500, 10000, "only at the low price", 15230), afford("h100", "NVIDIA H100 SXM 80 GB", 25000, 32000, "no", 3960),
  ],
};
