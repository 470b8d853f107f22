// The page against a `starling serve` of its own, whose model a few steps of training made, or against a running one on a
// workspace with posts, an index and a writer:
//   STARLING_PAGE_URL=http://127.0.0.1:8080/ STARLING_PAGE_KEY=<an admin key> npm test
// STARLING_PAGE_QUERY: a word that posts of the workspace hold (default: the).
// STARLING_PAGE_BRIEF: a brief in TOML to write the ad from (default: one for which the own server's posts have audiences).
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { after, before, test } from "node:test";
import { noServer, startServer } from "../../test/clients/server.mjs";
import { noBrowser, openBrowser, openPage } from "./browser.mjs";

const kLaptop = new URL("../../examples/briefs/laptop.toml", import.meta.url);
const { STARLING_PAGE_URL: kUrl, STARLING_PAGE_KEY: kKey = "", STARLING_PAGE_QUERY: kQuery = "the", STARLING_PAGE_BRIEF: kBrief = kLaptop } = process.env;
const skip = noBrowser || (kUrl ? false : noServer);
const kWritingMs = 600_000;

let server;
let browser;
let session;
before(async () => {
  if (skip) return;
  server = kUrl ? { url: kUrl, key: kKey, stop: () => {} } : await startServer();
  browser = await openBrowser();
  session = await openPage(browser, server.url);
  session.page.setDefaultTimeout(60_000);
});
after(async () => {
  await session?.close();
  await browser?.close();
  await server?.stop();
});

const open = (route) => session.page.goto(`${new URL(server.url).href}#/${route}`);

function step(name, body) {
  test(name, { skip }, async (context) => {
    await body(session.page, context);
    assert.deepEqual(session.problems, []);
  });
}

step("the key opens the page", async (page) => {
  await open("search");
  await page.getByLabel("API key").fill(server.key);
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "Search the posts" }).waitFor();
});

step("search returns posts, facets and marked words", async (page) => {
  await page.getByRole("searchbox").fill(kQuery);
  await page.keyboard.press("Enter");
  await page.locator("article.post").first().waitFor();
  assert.ok(await page.locator(".facet").count() > 0);
  assert.match(await page.locator(".summary").innerText(), /\d+ posts? for/);
});

step("every ranking stage answers", async (page) => {
  for (const stage of ["Fused", "Meaning", "Words", "Ranked"]) {
    const answered = page.waitForResponse((response) => response.url().endsWith("/v1/search"));
    await page.getByText(stage, { exact: true }).click();
    assert.equal((await answered).status(), 200, stage);
  }
});

step("a new post is found by its author and gone once it is deleted", async (page) => {
  const author = `page_${Date.now()}`;
  await page.getByRole("button", { name: "New post" }).click();
  await page.getByLabel("Author", { exact: true }).fill(author);
  await page.getByLabel("Text").fill("A quokka on a harbour ferry, <b>seen</b> & told. #quokka");
  await page.getByRole("button", { name: "Post it" }).click();
  await page.getByRole("link", { name: `posts by ${author}` }).click();
  const card = page.locator("article.post").filter({ hasText: "A quokka on a harbour ferry, <b>seen</b> & told." });
  await card.waitFor();
  await card.getByRole("button", { name: "Delete" }).click();
  await card.getByRole("button", { name: "Yes, delete" }).click();
  await page.getByText("is deleted.").waitFor();
  await page.reload();
  await page.getByRole("heading", { name: "No post matches" }).waitFor();
});

step("a question gets an answer whose citations lead to posts, or an honest no", async (page) => {
  await open(`search?mode=ask&q=${encodeURIComponent(`What do people say about ${kQuery}?`)}`);
  await page.locator(".answer, .empty").first().waitFor({ timeout: kWritingMs });
  if (await page.locator(".answer").count() === 0) {
    await page.getByRole("heading", { name: "No answer in the posts" }).waitFor();
    return;
  }
  await page.locator(".citation").first().click();
  assert.match(await page.evaluate(() => document.activeElement.id), /^post-/);
});

step("a brief becomes variants whose claims lead to facts", async (page) => {
  await open("ads");
  await page.getByText("TOML", { exact: true }).click();
  await page.getByLabel("Brief as TOML").fill(await readFile(kBrief, "utf8"));
  await page.getByRole("button", { name: "Write the ad" }).click();
  await page.getByRole("heading", { name: "Variants" }).waitFor({ timeout: kWritingMs });
  assert.ok(await page.locator(".variant").count() > 0);
  const proven = page.locator(".variant.accepted .fact-link").first();
  if (await proven.count() === 0) return;
  await proven.click();
  assert.match(await page.evaluate(() => document.activeElement.id), /^fact-/);
});

step("a person's own words are checked: a false price is refused", async (page) => {
  await page.getByLabel("Headline").fill("A laptop");
  await page.getByLabel("Body").fill("Yours for only 0.37 USD, guaranteed.");
  await page.getByRole("button", { name: "Check against the facts" }).click();
  const checked = page.getByRole("region", { name: "Check your own words" }).locator(".variant");
  await checked.waitFor();
  assert.match(await checked.innerText(), /rejected/);
});

step("an accepted variant is approved and enters the ad library", async (page, context) => {
  const accepted = page.locator(".variant.accepted");
  if (await accepted.count() === 0) return context.skip("the writer's every variant was rejected");
  const headline = await accepted.first().locator(".copy-headline").innerText();
  await accepted.first().getByRole("checkbox", { name: "Approve this one" }).check();
  await page.getByLabel("Approved by").fill("The page's test");
  await page.getByRole("button", { name: /^Approve 1/ }).click();
  await page.locator(".variant.approved").first().waitFor();
  await open("audit?tab=library");
  await page.locator(".library-entry").filter({ hasText: headline }).first().waitFor();
});

step("the audit chain is whole", async (page) => {
  await open("audit?tab=log");
  await page.getByText("The chain is whole.").waitFor();
  assert.ok(await page.locator("tbody tr").count() > 0);
});

step("the story's cluster is planned", async (page) => {
  await open("plan");
  await page.getByRole("heading", { name: "What tens of millions of dollars buy" }).waitFor();
  assert.match(await page.locator(".stats").innerText(), /days[\s\S]*%[\s\S]*MW/);
});

step("training shows its runs or says that there are none", async (page) => {
  await open("training");
  await page.locator(".chart canvas, .empty").first().waitFor();
});
