// The page's pure functions, as tables.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { createServer } from "vite";

let vite;
const load = (path) => vite.ssrLoadModule(path);
before(async () => {
  vite = await createServer({ appType: "custom", logLevel: "error", server: { middlewareMode: true, ws: false, hmr: false }, optimizeDeps: { noDiscovery: true } });
});
after(() => vite.close());

test("a snippet becomes text and marks, and every other tag stays text", async () => {
  const { snippetRuns } = await load("/src/text/snippet.ts");
  const cases = [
    ["", []],
    ["rain", [["rain", false]]],
    ["a <mark>rain</mark> b", [["a ", false], ["rain", true], [" b", false]]],
    ["<MARK>rain</MARK>", [["rain", true]]],
    ["&lt;b&gt; &amp;amp; &#39;&#x27;", [["<b> &amp; ''", false]]],
    ["<mark onclick=x>a</mark>", [["<mark onclick=x>a", false]]],
    ["<script>x</script>", [["<script>x</script>", false]]],
    ["<mark>never closed", [["never closed", true]]],
    ["&#0; &#xD800; &#9999999; &bogus;", [["\ufffd \ufffd \ufffd &bogus;", false]]],
  ];
  for (const [html, runs] of cases) assert.deepEqual(snippetRuns(html).map((run) => [run.text, run.marked]), runs, html);
});

test("claims are cut out of the copy at their UTF-8 byte offsets", async () => {
  const { copyRuns } = await load("/src/text/claim_spans.ts");
  const claim = (begin, end) => ({ text: "", begin, end, kind: "plain", supported: true });
  const shown = (headline, body, claims) => {
    const runs = copyRuns(headline, body, claims);
    return [runs.headline, runs.body].map((part) => part.map((run) => (run.claim ? `[${run.text}]` : run.text)).join(""));
  };
  assert.deepEqual(shown("Café 5 €", "só 3 g", [claim(6, 11), claim(16, 19)]), ["Café [5 €]", "só [3 g]"]);
  assert.deepEqual(shown("ab", "cd", [claim(0, 5)]), ["[ab]", "[cd]"], "over the line break");
  assert.deepEqual(shown("abcd", "", [claim(0, 3), claim(1, 4)]), ["[abc][d]", ""], "overlapping");
  assert.deepEqual(shown("ab", "cd", [claim(4, 99), claim(-5, 1)]), ["[a]b", "c[d]"], "outside the copy");
  assert.deepEqual(shown("ab", "cd", undefined), ["ab", "cd"]);
});

test("a facet's term is added to the query once and taken away again", async () => {
  const { facetTerm, hasTerm, toggleTerm } = await load("/src/views/search/query_terms.ts");
  const cases = [
    ["author", "alice", "rain from:alice"], ["community", "harbour town", 'rain in:"harbour town"'], ["hashtag", "storm", "rain #storm"],
    ["day", "2016-05-31", "rain since:2016-05-31 until:2016-05-31"],
  ];
  for (const [field, value, query] of cases) {
    const term = facetTerm(field, value);
    assert.equal(toggleTerm("rain", term), query);
    assert.equal(hasTerm(query, term), true);
    assert.equal(toggleTerm(query, term), "rain");
  }
  assert.equal(hasTerm("from:alice2", "from:alice"), false);
  assert.equal(facetTerm("unheard of", "x"), null);
});

test("a brief survives the form and TOML, and empty fields are left out", async () => {
  const { briefFromToml, briefOf, briefToToml, formOf, kExampleBrief } = await load("/src/views/ads/brief_form.ts");
  assert.deepEqual(briefOf(formOf(kExampleBrief)), kExampleBrief);
  assert.deepEqual(briefFromToml(briefToToml(kExampleBrief)), kExampleBrief);
  assert.deepEqual(briefOf(formOf({})), { find_audiences: false });
  assert.equal(briefFromToml("start = 2026-01-31").start, "2026-01-31");
  assert.throws(() => briefFromToml("budget = \nfacts"), /1/);
  assert.equal(formOf({ facts: "no list", audiences: [null] }).facts.length, 0);
});

test("Markdown of a model card becomes blocks of text", async () => {
  const { blocks, inlines } = await load("/src/text/markdown.ts");
  assert.deepEqual(blocks("# T\none\ntwo\n\n- a\n- b\n\n| h | i |\n|---|---|\n| 1 | 2 |\n```\n# code\n```").map((block) => block.kind),
    ["heading", "paragraph", "list", "table", "code"]);
  assert.deepEqual(blocks("| a | b |\n|:--|--:|\n| 1 | 2 |"), [{ kind: "table", head: ["a", "b"], rows: [["1", "2"]] }]);
  assert.deepEqual(inlines("a `b` **c**").map((part) => part.kind), ["text", "code", "text", "strong"]);
  assert.deepEqual(blocks("```\nnever closed"), [{ kind: "code", text: "never closed" }]);
});
